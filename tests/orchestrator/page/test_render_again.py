"""The command on the page names the very video that it stands beside."""

import json
import subprocess

import pytest
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from orchestrator.config import LaunchConfig
from orchestrator.launch_plan import plan_launch
from orchestrator.literal_arguments import protect, register
from orchestrator.page.render_again import render_again

LAUNCHED = "python -m orchestrator.launch +job=demo cluster=none parallel=auto cluster.device=cpu batch='x y.txt'"
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text.strip() and text not in ("null", "???")
)


def words_of(command: str) -> list[str]:
    """As bash takes the command apart."""
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


def planned(arguments):
    register()
    ConfigStore.instance().store(name="launch_schema", node=LaunchConfig)
    with initialize_config_module("conf", version_base=None):
        return plan_launch(OmegaConf.to_object(compose("launch", overrides=protect(arguments))))


def sidecar_of(entry, command: str = LAUNCHED) -> dict:
    record = {"request": entry.request.as_json(), "provenance": {"job": "demo", "command": command}}
    return json.loads(json.dumps(record))


def is_rendered_again(*arguments: str, launched: str = LAUNCHED) -> None:
    [entry] = planned(
        ["+job=demo", "cluster=none", "parallel=auto", "cluster.device=cpu", *arguments]
    ).entries.values()
    command = render_again(sidecar_of(entry, launched))
    assert command.isprintable()
    program = words_of(command)
    assert program[:3] == ["python", "-m", "orchestrator.launch"]
    assert list(planned(program[3:]).entries) == [entry.video_id]


@settings(max_examples=8, deadline=None)
@given(prompt=TEXT, negative=TEXT, seed=st.integers(0, 2**63 - 1))
def test_any_prompt(prompt, negative, seed):
    is_rendered_again(f"prompt={prompt}", f"negative_prompt={negative}", f"seed={seed}")


@pytest.mark.parametrize(
    "arguments",
    [
        [
            "video.height=64",
            "video.fps=12",
            "denoise.num_steps=8",
            "denoise.guidance_scale=1",
            "denoise.flow_shift=5",
        ],
        ["forecast=none"],
        ["forecast=taylor", "forecast.order=2"],
        ["forecast=spectrum_fast", "forecast.half_life=3.5", "forecast.penalise_constant=false"],
        ["forecast=spectrum", "forecast.plan_shape=list", "forecast.full_steps=[0,1,2,20,40]"],
        ["forecast.error_budget=0.1", "forecast.axis=sigma", "decode.tiling=true", "forecast.max_history=5"],
    ],
)
def test_any_settings(arguments):
    is_rendered_again("prompt=a ring", *arguments)


def test_calibration_is_chosen_as_it_was():
    launched = f"{LAUNCHED} forecast=tiny_wan_14"
    is_rendered_again("prompt=a ring", "forecast=tiny_wan_14", launched=launched)


def test_layout_stays_and_the_batch_goes():
    [entry] = planned(["+job=demo", "prompt=a ring", "parallel=auto", "cluster=none"]).entries.values()
    launched = (
        "python3.11 -m orchestrator.launch +job=demo batch=all.txt output=here job.shard=2/3 quality.reference=3 "
        "prompt='x' seed=9 video=720p parallel.ulysses=4 retry.failed=true dry_run=false forecast=taylor"
    )
    words = words_of(render_again(sidecar_of(entry, launched)))
    assert {"+job=demo", "parallel.ulysses=4", "prompt=a ring", "seed=0", "forecast=spectrum"} <= set(words)
    assert not [word for word in words if word.startswith(("batch", "output", "job.", "quality", "retry", "video="))]


@pytest.mark.parametrize("command", ["", "pytest -x", "torchrun 'unclosed"])
def test_launch_of_another_kind_is_named_by_its_job(command):
    [entry] = planned(["+job=demo", "prompt=a ring", "parallel=auto", "cluster=none"]).entries.values()
    answer = render_again(sidecar_of(entry, command))
    assert answer is None or words_of(answer)[3] == "+job=demo"


@pytest.mark.parametrize("record", [{}, {"request": {}}, {"request": {"rounded_noise": True}, "provenance": {}}])
def test_record_that_says_too_little_has_no_command(record):
    assert render_again(record) is None
