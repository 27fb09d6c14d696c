"""What a rank cannot hold is refused, with the nearest setting that it can."""

from dataclasses import replace

import pytest
import torch

from orchestrator.checkpoint import write_checkpoint
from orchestrator.choices import Device
from orchestrator.cost_model import model_shape
from orchestrator.engine import Engine
from orchestrator.estimate_memory import nearest_that_fits, what_does_not_fit
from orchestrator.freezing import freeze, freeze_latents
from orchestrator.loading import load_scheduler, load_transformer
from orchestrator.text import TextEncoder
from parallel.layout import Layout
from parallel.render_memory import GIB, WAN_TEXT_PARAMETERS, MemoryCase, checkpoint_bytes, footprint
from parallel.token_group import TokenGroup
from parallel.wan_shapes import SIZE_480P, SIZE_720P, WAN_14B, VideoSize

CASE = MemoryCase(model=WAN_14B, size=SIZE_720P, num_snapshots=14)
"""27.1 GiB of weights, 20.3 of history, 8.1 of activations, 18.2 of decoding, 2 reserved."""


TWO = "model.text_device=cpu forecast.max_history=9"


def nearest(case: MemoryCase, gib: float, *layouts: Layout) -> str | None:
    change = nearest_that_fits(case, gib * GIB, layouts=layouts)
    if change is not None:
        assert footprint(change.case).peak <= gib * GIB
    return None if change is None else change.setting


def test_what_fits_is_not_refused():
    assert what_does_not_fit(CASE, 70 * GIB, layouts=(), gpu="H100") is None


def test_refusal_names_size_stage_parts_and_what_fits():
    line = what_does_not_fit(CASE, 50 * GIB, layouts=(), gpu="A800")
    assert line is not None and "\n" not in line
    for part in ("720x1280, 81 frames", "1 × A800", "57.5 GiB", "at denoise", "history 20.3", "50.0 GiB can be used"):
        assert part in line
    assert "nearest that fits: forecast.max_history=8" in line


@pytest.mark.parametrize(
    ("case", "gib", "layouts", "setting"),
    [
        (CASE, 55, (), "forecast.max_history=12"),
        (CASE, 50, (Layout(cfg=2), Layout(ulysses=4)), "parallel.ranks=2"),
        (replace(CASE, num_snapshots=0), 40, (), "decode.tiling=true"),
        (replace(CASE, layout=Layout(ulysses=8)), 47, (), "decode.parallel=true"),
        (replace(CASE, text_bytes=2 * WAN_TEXT_PARAMETERS, size=SIZE_480P), 38.5, (), TWO),
        (
            replace(CASE, text_bytes=2 * WAN_TEXT_PARAMETERS, num_snapshots=0, size=SIZE_480P),
            39,
            (),
            "model.text_device=cpu",
        ),
        (replace(CASE, value_bytes=4, num_snapshots=0), 60, (), "model.dtype=bfloat16"),
    ],
)
def test_nearest_setting_is_the_one_that_costs_least(case, gib, layouts, setting):
    assert nearest(case, gib, *layouts) == setting


def test_two_settings_are_found_where_one_does_not_suffice():
    assert (
        nearest(
            CASE,
            44,
        )
        == "forecast.max_history=4 decode.tiling=true"
    )


def test_nothing_is_promised_where_the_weights_alone_do_not_fit():
    assert nearest(CASE, 20) is None
    line = what_does_not_fit(CASE, 20 * GIB, layouts=(), gpu="L4")
    assert line is not None and line.endswith("no setting of this model and size fits")


def test_checkpoints_are_as_large_as_said(model_folder, pipe, make_request, tmp_path):
    """Of the demo model, in the last segment."""
    engine = Engine(
        transformer=load_transformer(model_folder, device=torch.device(Device.CPU), dtype=torch.float32),
        scheduler=load_scheduler(model_folder),
        token_group=TokenGroup(layout=Layout(), rank=0),
        spatial_scale=8,
        temporal_scale=4,
    )
    request = make_request(num_steps=20, height=96, width=96, num_frames=17)
    embeds = TextEncoder(pipe.tokenizer, pipe.text_encoder, max_sequence_length=24).encode(request)
    state = engine.start(request, embeds)
    while state.step < state.plan.full_steps[-1]:
        engine.run_segment(state)
    engine.run_segment(state)
    for name, frozen in (("own", freeze(state)), ("latents", freeze_latents(engine, state))):
        write_checkpoint(tmp_path / name, frozen)
    said = checkpoint_bytes(
        MemoryCase(
            model=model_shape(model_folder, 24),
            size=VideoSize(height=96, width=96, num_frames=17),
            value_bytes=4,
            num_snapshots=request.forecast.plan(20).num_snapshots,
        )
    )
    latents = (tmp_path / "latents").stat().st_size
    assert said.latents == pytest.approx(latents, rel=0.05)
    assert said.full == pytest.approx((tmp_path / "own").stat().st_size + latents, rel=0.05)
