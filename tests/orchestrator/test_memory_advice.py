"""What is advised where a GPU's memory did not suffice: settings that are possible there, and help."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from orchestrator.choices import Device, DType
from orchestrator.errors import RenderMemoryError
from orchestrator.launch_plan import ModelSpec
from orchestrator.memory_advice import memory_explained
from orchestrator.rank import RankSpec
from orchestrator.reports import Stage
from parallel.layout import AttentionEngine, Layout
from spectrum import CalibratedFor, Calibration, Features, ForecastSettings, Method, PlanShape

ALONE = RankSpec(
    rank=0,
    layout=Layout(),
    engine=AttentionEngine.DIFFUSERS,
    uneven=False,
    shard_blocks=False,
    decode_parallel=False,
    embeddings=Path("embeddings"),
    model=ModelSpec(
        name="wan",
        folder=Path("model"),
        fingerprint="f",
        dtype=DType.BFLOAT16,
        max_sequence_length=512,
        text_device=Device.CPU,
    ),
    device=Device.CUDA,
    device_index=0,
    num_threads=1,
    loads_decoder=True,
)
OF_FOUR = replace(ALONE, layout=Layout(ulysses=4))
TOGETHER = replace(OF_FOUR, decode_parallel=True, shard_blocks=True)
WORKER = replace(ALONE, decodes_only=True)
CALIBRATED = ForecastSettings(
    method=Method.CALIBRATED,
    plan_shape=PlanShape.CALIBRATED,
    calibration=Calibration(
        made_for=CalibratedFor(model="m", solver="s", num_steps=50, flow_shift=3.0, guidance_scale=5.0),
        full_steps=range(0, 50, 5),
        weights=[[1.0] * ((step + 4) // 5) for step in range(1, 50)],
    ),
)


def advice_of(stage, spec, request) -> str:
    with pytest.raises(RenderMemoryError) as raised, memory_explained(stage, spec, request):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    message = str(raised.value)
    assert message.isprintable(), "one line"
    return message


@pytest.mark.parametrize(
    ("spec", "helps", "is_refused_or_useless"),
    [
        (ALONE, ["parallel.ranks) and decode.parallel=true", "decode.workers=1 decode.device=cpu"], ["shard_blocks"]),
        (
            OF_FOUR,
            ["with decode.parallel=true", "decode.workers=1", "parallel.shard_blocks=true"],
            ["parallel.ranks"],
        ),
        (TOGETHER, ["now 4: parallel.ranks", "decode.parallel=false decode.workers=1"], ["decode.parallel=true"]),
        (
            WORKER,
            ["decode.device=cpu", "decode.workers=0 decode.parallel=true where"],
            ["decode.workers=1", "ranks:"],
        ),
    ],
    ids=["one rank", "four ranks", "four ranks that decode together", "decode worker"],
)
def test_decode_names_what_is_possible_where_it_ran(make_request, spec, helps, is_refused_or_useless):
    advice = advice_of(Stage.DECODE, spec, make_request())
    assert "the latents are on the disk, and the same command goes on from them" in advice
    same, another = advice.split("; decode.tiling=true")
    assert all(setting in same for setting in helps)
    assert not any(setting in same for setting in is_refused_or_useless)
    assert "another video, with another id, that is rendered anew" in another
    assert ("decode.parallel=false" in another) == spec.decode_parallel, "the two exclude each other"


@pytest.mark.parametrize("spec", [ALONE, OF_FOUR, WORKER], ids=["one rank", "four ranks", "decode worker"])
def test_tiles_that_do_not_fit_are_neither_advised_again_nor_decoded_together(make_request, spec):
    advice = advice_of(Stage.DECODE, spec, make_request(decode_tiling=True))
    assert "decode.tiling" not in advice and "decode.parallel" not in advice
    assert "decode.device=cpu" in advice


@pytest.mark.parametrize(("spec", "can_shard"), [(ALONE, False), (OF_FOUR, True), (TOGETHER, False)])
def test_denoise_names_more_ranks_first_and_what_makes_it_another_video_apart(make_request, spec, can_shard):
    advice = advice_of(Stage.DENOISE, spec, make_request(num_steps=50))
    same, another = advice.split(" the same command goes on; ")
    assert f"more ranks in each gang (now {spec.layout.world_size}: parallel.ranks)" in same
    assert ("parallel.shard_blocks=true" in same) == can_shard
    for setting in ("now 14 snapshots: forecast.max_history", "forecast.features=velocity", "video.num_frames"):
        assert setting in another
    assert "another video, with another id, that is rendered anew" in another
    assert "decode." not in advice


@pytest.mark.parametrize(
    ("forecast", "useless"),
    [
        (ForecastSettings(method=Method.NONE), ["max_history", "velocity"]),
        (ForecastSettings(method=Method.DAMPED), ["max_history"]),
        (ForecastSettings(max_history=4), ["max_history"]),
        (ForecastSettings(features=Features.VELOCITY), ["velocity"]),
        (ForecastSettings(method=Method.SVD), ["parallel.ranks", "max_history"]),
        (CALIBRATED, ["max_history", "velocity"]),
    ],
    ids=["none", "damped", "short", "velocity", "svd", "calibrated"],
)
def test_denoise_names_nothing_that_its_forecast_has_already_or_cannot_have(make_request, forecast, useless):
    advice = advice_of(Stage.DENOISE, ALONE, make_request(num_steps=50, forecast=forecast))
    assert not any(setting in advice for setting in useless)
    assert "a smaller video.height, video.width or video.num_frames" in advice


def test_other_errors_are_left_as_they_are(make_request):
    with pytest.raises(ValueError, match=r"^wrong$"), memory_explained(Stage.DENOISE, ALONE, make_request()):
        raise ValueError("wrong")
