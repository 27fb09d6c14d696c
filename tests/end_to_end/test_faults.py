"""A batch whose processes are killed and frozen at drawn moments, in two launches: `benchmarks.faults`, in short.

Two gangs of two ranks and a decode worker. One of these five dies; while its gang is built again, Ray's node process
does. The launch starts Ray again, and once it is at work its driver is killed. The next launch goes on with one gang;
once that is at work and its decode worker is there, one of the three is frozen; it finishes. The budget is so small
that nearly all rounds are full: videos are under way for long enough to be hit.
"""

import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from orchestrator.artifacts import sha256_of
from orchestrator.devices import count_gpus

pytestmark = [pytest.mark.alone, pytest.mark.skipif(count_gpus() > 0, reason="the demo renders on the CPU")]

SEED = 5
PROMPTS = [
    "a large red circle moving left on a dark blue background",
    "a large yellow triangle growing on a dark green background",
    "a large white ring moving up on a dark red background",
]
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@dataclass(frozen=True, kw_only=True)
class Story:
    """What two disturbed launches have come to."""

    killed: object
    """How the first launch ended."""
    finished: object
    """How the second launch ended."""
    run_folder: Path
    listening: dict[str, set[str]]
    """Addresses that the first launch's processes listened on, by program."""


def family(watched) -> list[psutil.Process]:
    return [psutil.Process(watched.process.pid), *watched.descendants()]


def actors(watched) -> list[psutil.Process]:
    found = [one for one in watched.descendants() if one.name().startswith("ray::RankActor")]
    return sorted(found, key=lambda one: one.pid)


def listening_addresses(processes) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for process in processes:
        sockets = process.net_connections(kind="inet")
        addresses = {one.laddr.ip for one in sockets if one.status == psutil.CONN_LISTEN}
        found.setdefault(process.name(), set()).update(addresses)
    return found


@pytest.fixture(scope="module")
def arguments(tmp_path_factory, model_folder) -> list[str]:
    batch = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    batch.write_text("\n".join(PROMPTS))
    return ["+job=demo", f"batch={batch}", f"model.path={model_folder}", "forecast.error_budget=0.05"]


@pytest.fixture(scope="module")
def story(watch, arguments, tmp_path_factory) -> Story:
    drawn, run_folder = random.Random(SEED), tmp_path_factory.mktemp("faults") / "run"
    command = [
        *(*arguments, f"output={run_folder}", "parallel.ulysses=2", "cluster.num_gangs=2", "decode.workers=1"),
        *("checkpoint.every=0.5", "retry.backoff=0.1"),
    ]
    fewer = [argument.replace("num_gangs=2", "num_gangs=1") for argument in command]

    def wait_a_moment() -> None:
        time.sleep(drawn.uniform(0.0, 1.0))

    first = watch(*command)
    first.wait_for("denoise  step")
    listening = listening_addresses(family(first))
    wait_a_moment()
    drawn.choice(actors(first)).kill()
    first.wait_for("lost: ")
    wait_a_moment()
    first.wait_for_process("raylet/raylet").kill()
    first.wait_for("Ray is started again", "denoise  step")
    wait_a_moment()
    killed = first.end(first.process.kill, gone_within=10.0)
    second = watch(*fewer)
    second.wait_for("decoder 0  ready")
    second.wait_for("gang 0  ready")
    wait_a_moment()
    drawn.choice(actors(second)).send_signal(signal.SIGSTOP)
    second.wait_for("has been silent for", f"{len(PROMPTS)} videos in ")
    finished = second.end(lambda: None)
    return Story(killed=killed, finished=finished, run_folder=run_folder, listening=listening)


@pytest.fixture(scope="module")
def undisturbed(launch_many, arguments, tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    [answer] = launch_many([[*arguments, "cluster=none", "parallel=auto", f"output={folder}"]])
    assert answer["status"] == 0, answer["stderr"]
    return digests(folder)


def digests(folder: Path) -> dict[str, str]:
    return {record.parent.name: sha256_of(record.parent / "video.mp4") for record in folder.glob("*/video.json")}


def test_batch_is_finished(story):
    assert story.killed.status == -signal.SIGKILL
    assert story.finished.status == 0, story.finished.stderr


def test_every_byte_is_that_of_the_undisturbed_videos(story, undisturbed):
    assert len(undisturbed) == len(PROMPTS)
    assert digests(story.run_folder) == undisturbed


def test_no_process_is_left(story):
    assert story.killed.saw_processes > 4 and story.killed.saw_session
    assert story.killed.left == [], "ten seconds after its driver was killed"
    assert story.finished.left == []


def test_nothing_half_written_is_left_beside_the_videos(story):
    for video_id in digests(story.run_folder):
        names = {path.name for path in (story.run_folder / video_id).iterdir()}
        assert names == {"video.mp4", "preview.png", "video.json"}


def test_log_says_what_was_lost_and_why(story):
    first, second = story.killed.stderr, story.finished.stderr
    assert "lost: rank" in first and " died" in first
    assert "Ray's raylet (process " in first and "died, and all gangs with it; Ray is started again" in first
    assert "has been silent for 3 s" in second
    assert "Traceback" not in second


def test_no_video_was_set_aside(story):
    assert "set aside" not in story.killed.stderr + story.finished.stderr


def test_ray_of_a_launch_listens_to_this_machine_alone(story):
    assert {"gcs_server", "raylet"} <= {name for name, addresses in story.listening.items() if addresses}
    for name, addresses in story.listening.items():
        assert addresses <= LOOPBACK, name
