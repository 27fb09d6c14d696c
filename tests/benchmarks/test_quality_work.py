"""What is rendered, and what is not rendered twice. With a renderer that draws noise in no time."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.demo_model import Rendered
from benchmarks.quality_caches import CacheKind, CacheSettings
from benchmarks.quality_regimes import PLAIN
from benchmarks.quality_rows import REFERENCE, Row
from benchmarks.quality_store import Store
from benchmarks.quality_work import SWEEP_CAPTIONS, due_rows, end_if_orphaned, is_chosen, work_on_caption

pytestmark = pytest.mark.alone

[BASE] = PLAIN.requests(1)
FEWER = Row(method="fewer", target=14, num_steps=14)
CACHED = Row(method="cached", target=14, cache=CacheSettings(kind=CacheKind.FIRST_BLOCK))


class FakeRenderer:
    def __init__(self, fails=None):
        self.rendered = []
        self.fails = fails

    def render(self, row, base):
        self.rendered.append(row.method)
        if row.method == self.fails:
            raise RuntimeError("no such kernel")
        noise = np.random.default_rng(row.num_steps).integers(0, 255, (3, 96, 96, 3), dtype=np.uint8)
        return Rendered(frames=noise, seconds=2.0, num_full_rounds=row.num_steps, forecast_errors=((3, 0.25),))


def work(store, renderer, rows):
    return work_on_caption(store, renderer, PLAIN, BASE, rows)


def test_each_row_is_measured_against_the_reference(tmp_path):
    store = Store(tmp_path, "model")
    assert work(store, FakeRenderer(), [REFERENCE, FEWER]) == 2
    known = store.read()
    reference, fewer = known[store.key(REFERENCE, BASE)], known[store.key(FEWER, BASE)]
    assert (reference["psnr"], reference["ssim"], reference["full_rounds"]) == (100.0, 1.0, 50)
    assert fewer["psnr"] < 15  # two draws of noise
    assert fewer["forecast_errors"] == [[3, 0.25]]
    assert set(fewer["marks"]) == {"background", "colour", "shape", "motion", "size", "everything"}


def test_only_what_is_missing_is_rendered_again(tmp_path):
    store, renderer = Store(tmp_path, "model"), FakeRenderer()
    work(store, renderer, [REFERENCE, FEWER])
    assert work(store, renderer, [REFERENCE, FEWER]) == 0
    changed = replace(FEWER, num_steps=12)
    assert work(store, renderer, [REFERENCE, changed]) == 1
    assert renderer.rendered == ["all rounds full", "fewer", "fewer"]


def test_a_lost_reference_is_rendered_again(tmp_path):
    store, renderer = Store(tmp_path, "model"), FakeRenderer()
    work(store, renderer, [REFERENCE])
    for file in (tmp_path / "references").iterdir():
        file.unlink()
    work(store, renderer, [REFERENCE, FEWER])
    assert renderer.rendered == ["all rounds full", "all rounds full", "fewer"]


def test_a_cache_that_cannot_run_is_a_result_with_its_error(tmp_path):
    store = Store(tmp_path, "model")
    work(store, FakeRenderer(fails="cached"), [REFERENCE, CACHED, FEWER])
    assert store.read()[store.key(CACHED, BASE)]["error"] == "RuntimeError: no such kernel"
    assert store.key(FEWER, BASE) in store.read()


def test_a_forecaster_that_cannot_run_is_a_failure(tmp_path):
    with pytest.raises(RuntimeError, match="no such kernel"):
        work(Store(tmp_path, "model"), FakeRenderer(fails="fewer"), [REFERENCE, FEWER])


def test_first_captions_also_have_the_rows_of_the_plot():
    first, later = due_rows(PLAIN, 0), due_rows(PLAIN, SWEEP_CAPTIONS)
    assert first[0] is REFERENCE is later[0]
    assert {row.target for row in first} - {row.target for row in later} == {8, 12, 18, 24}
    assert len({(row.name, row.target) for row in first}) == len(first)


def test_rows_are_chosen_by_a_part_of_their_name():
    assert is_chosen(FEWER, [])
    assert is_chosen(FEWER, ["x", "few"])
    assert not is_chosen(FEWER, ["x"])
    assert is_chosen(REFERENCE, ["x"])


def test_a_worker_ends_when_the_command_was_killed():
    end_if_orphaned()  # this process has no such parent
    script = """
import multiprocessing, os, signal, time
from benchmarks.quality_work import end_if_orphaned

def work():
    print(os.getpid(), flush=True)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(1)
    end_if_orphaned()
    print("still there", flush=True)

if __name__ == "__main__":
    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    worker.join()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert done.returncode == -9
    assert "still there" not in done.stdout
    assert done.stdout.strip().isdigit()
