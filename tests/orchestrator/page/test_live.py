"""The page of a launch that goes on: there from the beginning, kept up to date, and never in its way."""

import time

import pytest

from benchmarks.page_run import make_run, prompts_of
from orchestrator.artifacts import RunFolder
from orchestrator.page import live
from orchestrator.page.files import PageFiles
from orchestrator.page.live import PageView, finish_page

pytestmark = pytest.mark.alone


@pytest.fixture
def run_folder(tmp_path):
    make_run(tmp_path / "run", prompts_of(6))
    return RunFolder(tmp_path / "run")


@pytest.fixture
def written(monkeypatch):
    """Moments at which the page was written."""
    moments = []
    write = PageFiles.write

    def noted(self, **options):
        moments.append(time.monotonic())
        write(self, **options)

    monkeypatch.setattr(PageFiles, "write", noted)
    return moments


def wait_until(holds) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_page_is_there_before_the_first_video_and_follows_them(run_folder, monkeypatch):
    monkeypatch.setattr(live, "PAUSE_SECONDS", 0.05)
    view = PageView(run_folder)
    assert not run_folder.page.exists()
    view.open()
    wait_until(run_folder.page.is_file)
    first = run_folder.page_videos.stat().st_mtime_ns
    view.video_done("gang 0", "0" * 16, run_folder.video("0" * 16))
    wait_until(lambda: run_folder.page_videos.stat().st_mtime_ns != first)
    view.close()


def test_many_videos_at_once_are_one_build(run_folder, written, monkeypatch):
    monkeypatch.setattr(live, "PAUSE_SECONDS", 1.0)
    view = PageView(run_folder)
    view.open()
    wait_until(lambda: written)
    began = time.monotonic()
    for _ in range(2000):
        view.video_done("gang 0", "0" * 16, run_folder.video("0" * 16))
    assert time.monotonic() - began < 0.5, "whoever tells it does not wait"
    wait_until(lambda: len(written) == 2)
    assert written[1] - written[0] >= 1.0
    view.close()
    assert len(written) == 3, "once more in the end"


def test_slow_builds_come_seldom(run_folder, written, monkeypatch):
    monkeypatch.setattr(live, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(PageFiles, "_write_page", lambda _: time.sleep(0.1))
    view = PageView(run_folder)
    view.open()
    for _ in range(300):
        view.video_done("gang 0", "0" * 16, run_folder.video("0" * 16))
        time.sleep(0.01)
    view.close()
    assert 2 <= len(written) <= 4, "at most a twentieth of the time"


def test_page_that_cannot_be_written_stops_nothing_and_says_so_once(run_folder, caplog, monkeypatch):
    monkeypatch.setattr(live, "PAUSE_SECONDS", 0.01)
    run_folder.page_videos.parent.write_text("a file in its place")
    view = PageView(run_folder)
    view.open()
    wait_until(lambda: caplog.records)
    for _ in range(5):
        view.video_done("gang 0", "0" * 16, run_folder.video("0" * 16))
        time.sleep(0.05)
    view.close()
    finish_page(run_folder)
    assert [record.message.count("cannot be written") for record in caplog.records] == [1, 1]


def test_view_that_was_never_opened_writes_nothing(run_folder):
    PageView(run_folder).close()
    assert not run_folder.page.exists()
