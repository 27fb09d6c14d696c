"""When a launch starts anything, and what it does when it loses its Ray; the loss itself is real end to end."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from orchestrator import run
from orchestrator.errors import BadInput, GangFailed, RayLost
from orchestrator.launch_plan import plan_launch
from orchestrator.launch_record import LaunchRecord
from orchestrator.lease import lease
from orchestrator.policy import Outcome
from orchestrator.standing import SET_ASIDE_BEFORE
from orchestrator.termination import Terminated

tries_failed: list[bool] = []
"""Whether each rendering was to try again what had been set aside."""


@pytest.fixture
def losses(monkeypatch):
    """Rendering that ends as this list says, one after the other."""
    endings: list[object] = []
    tries_failed.clear()

    def render_once(launch, policy):
        tries_failed.append(policy.retry_failed)
        ending = endings.pop(0)
        if isinstance(ending, Exception):
            raise ending
        if ending == "one done":
            folder = launch.plan.run_folder.video(next(iter(launch.plan.entries)))
            folder.root.mkdir(parents=True)
            folder.video.touch()
            folder.sidecar.touch()
            raise RayLost("Ray's raylet (process 1) died")
        return Outcome()

    monkeypatch.setattr(run._Launch, "_render_once", render_once)
    return endings


@pytest.fixture
def plan(config, tmp_path):
    (tmp_path / "prompts.txt").write_text("one\ntwo\n")
    config.prompt, config.batch = None, str(tmp_path / "prompts.txt")
    return plan_launch(config)


def render(plan):
    return run.run_plan(plan, console=Console(file=io.StringIO()))


def test_launch_goes_on_after_ray_was_lost(plan, losses):
    losses += [RayLost("died"), RayLost("died"), "all done"]
    assert render(plan) == Outcome()
    assert losses == []


def test_what_was_set_aside_is_tried_again_once_whatever_becomes_of_ray(plan, losses):
    losses += [RayLost("died"), "all done"]
    assert render(replace(plan, policy=replace(plan.policy, retry_failed=True))) == Outcome()
    assert tries_failed == [True, False], "a video that was cancelled meanwhile stays so"


def test_launch_gives_up_where_ray_is_lost_again_and_again(plan, losses):
    losses += [RayLost("Ray's raylet (process 1) died")] * run.MOST_LOSSES
    with pytest.raises(GangFailed, match=r"raylet \(process 1\) died, 3 times in a row"):
        render(plan)


def test_finished_video_in_between_makes_it_begin_to_count_again(plan, losses):
    losses += [RayLost("died"), RayLost("died"), "one done", RayLost("died"), "all done"]
    assert render(plan) == Outcome()


def finish(plan):
    for video_id in plan.entries:
        folder = plan.run_folder.video(video_id)
        folder.root.mkdir(parents=True)
        folder.video.touch()
        folder.sidecar.write_text("{}")


def test_launch_with_nothing_to_do_leaves_the_files_of_one_that_renders_alone(plan, losses):
    finish(plan)
    path = plan.run_folder.launch_lease("all")
    path.parent.mkdir(parents=True)
    with lease(path, what="output"), pytest.raises(BadInput, match="process"):
        render(plan)
    assert not plan.run_folder.launch_entries("all").exists()
    assert render(plan) == Outcome() and losses == []
    assert plan.run_folder.launch_entries("all").exists()


def test_launch_whose_rest_was_set_aside_says_so_and_starts_nothing(plan, losses):
    finish(plan)
    folder = plan.run_folder.video(next(iter(plan.entries)))
    folder.sidecar.unlink()
    folder.failure.write_text("{}")
    assert render(plan) == Outcome(failed={folder.root.name: SET_ASIDE_BEFORE})
    losses += ["all done"]
    again = replace(plan, policy=replace(plan.policy, retry_failed=True))
    assert render(again) == Outcome() and losses == []


def test_ray_that_was_given_the_launchs_own_signal_is_not_started_again(plan, monkeypatch):
    def render_once(launch, _policy):
        launch.stop.reason = "SIGTERM"
        raise RayLost("died")

    monkeypatch.setattr(run._Launch, "_render_once", render_once)
    with pytest.raises(Terminated):
        render(plan)


def test_lease_is_kept_until_nothing_is_written_any_more(plan, monkeypatch):
    held = []
    path = plan.run_folder.launch_lease("all")
    monkeypatch.setattr(LaunchRecord, "close", lambda _record: held.append(path.exists()))

    def render_once(launch, _policy):
        with launch.opened():
            pass
        with launch.opened():  # on a Ray that was started again
            return Outcome()

    monkeypatch.setattr(run._Launch, "_render_once", render_once)
    assert render(plan) == Outcome()
    assert held == [True] and not path.exists()
