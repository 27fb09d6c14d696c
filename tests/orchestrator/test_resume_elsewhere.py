"""A video that goes on from its latents on another layout than the one that it began on."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from orchestrator.launch_plan import plan_launch

TASKS = Path(__file__).with_name("checkpoint_tasks.py")
TOLERANCE = 1e-5
"""Of the largest latent: a ring joins partial softmax sums in another order."""
LAYOUTS = {"one rank": 1, "ulysses": 2, "ring": 2, "cfg": 2}


@pytest.fixture
def plan_of(config, tmp_path):
    """`plan_of(layout)`: a file with the plan of the same video on it."""
    config.denoise.num_steps = 20

    def make(layout: str) -> str:
        parallel, size = config.parallel, LAYOUTS[layout]
        parallel.ulysses = parallel.ring = parallel.cfg = 1
        if size > 1:
            setattr(parallel, layout, size)
        path = tmp_path / layout
        path.write_bytes(pickle.dumps(plan_launch(config, torchrun_world_size=size)))
        return str(path)

    return make


@pytest.fixture
def go_on(plan_of, gang, tmp_path):
    """`go_on(first, second)`: the latents that a video of the first layout comes to on the second, and their step."""

    def run(first: str, second: str) -> tuple[int, torch.Tensor]:
        own = tmp_path / f"{first}, {second}"
        checkpoints, folder = str(own / "checkpoints"), str(own / "video")
        [kept] = gang(
            *(TASKS, "keep_latents_on_the_way", [LAYOUTS[first]]), plan=plan_of(first), checkpoints=checkpoints
        ).values()
        [steps] = gang(
            *(TASKS, "go_on_to_the_latents", [LAYOUTS[second]]),
            **{"plan": plan_of(second), "checkpoints": checkpoints, "folder": folder},
        ).values()
        assert {*kept} == {*steps}, "every rank begins where the others stopped"
        return steps[0], load_file(Path(folder) / "latents.safetensors")["latents"]

    return run


def test_video_comes_to_the_same_but_for_rounding_wherever_it_goes_on(go_on):
    step, expected = go_on("one rank", "one rank")
    assert 0 < step < 20
    for first, second in [("ulysses", "one rank"), ("cfg", "ring")]:
        other_step, latents = go_on(first, second)
        assert other_step == step
        difference = (latents - expected).abs().max() / expected.abs().max()
        assert difference <= TOLERANCE, (first, second)
