"""What a launch does when it loses the Ray that it has started; the loss itself is real in the end-to-end tests."""

import io

import pytest
from rich.console import Console

from orchestrator import run
from orchestrator.errors import GangFailed, RayLost
from orchestrator.launch_plan import plan_launch
from orchestrator.scheduler import Outcome


@pytest.fixture
def losses(monkeypatch):
    """Rendering that ends as this list says, one after the other."""
    endings: list[object] = []

    def render_once(launch):
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


def test_launch_gives_up_where_ray_is_lost_again_and_again(plan, losses):
    losses += [RayLost("Ray's raylet (process 1) died")] * run.MOST_LOSSES
    with pytest.raises(GangFailed, match=r"raylet \(process 1\) died, 3 times in a row"):
        render(plan)


def test_finished_video_in_between_makes_it_begin_to_count_again(plan, losses):
    losses += [RayLost("died"), RayLost("died"), "one done", RayLost("died"), "all done"]
    assert render(plan) == Outcome()
