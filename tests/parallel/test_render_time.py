"""The model of a render's seconds: arithmetic as torch counts it, bytes in closed form, and what must always hold."""

import subprocess
import sys
from dataclasses import fields, replace

import pytest
import torch
from diffusers import WanTransformer3DModel
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from parallel.hardware import A800, A800_NODES, H20, H100, H200, HOPPER_NODES, Chip, Network
from parallel.layout import Layout
from parallel.render_case import Assumptions, Render, Rounds, even_layouts
from parallel.render_time import (
    fitted_efficiency,
    gather_bytes,
    guidance_bytes,
    predict,
    ring_bytes,
    share_of_ideal,
    speedup,
    ulysses_bytes,
)
from parallel.wan_shapes import SIZE_480P, SIZE_720P, WAN_1_3B, WAN_14B, VideoSize, WanShape, pass_flops

pytestmark = pytest.mark.alone

WORLD_SIZES = (1, 2, 4, 7, 8, 16, 24, 48)
BASE = Render(model=WAN_14B, size=SIZE_720P, chip=H100, network=HOPPER_NODES)


@st.composite
def renders(draw: st.DrawFn) -> Render:
    """Any video that can be rendered: model, size, chip, gang, plan and assumptions."""
    model, size = draw(st.sampled_from((WAN_14B, WAN_1_3B))), draw(st.sampled_from((SIZE_480P, SIZE_720P)))
    problem = replace(BASE, model=model, size=size).problem
    layouts = [layout for world_size in WORLD_SIZES for layout in even_layouts(world_size, problem)]
    num_steps = draw(st.integers(1, 60))
    return Render(
        model=model,
        size=size,
        chip=draw(st.sampled_from((H100, H200, A800, H20))),
        network=draw(st.sampled_from((HOPPER_NODES, A800_NODES))),
        layout=draw(st.sampled_from(layouts)),
        rounds=Rounds(num_steps=num_steps, num_full=draw(st.integers(1, num_steps))),
        assumptions=Assumptions(
            efficiency=draw(st.floats(0.05, 1)), overlap=draw(st.floats(0, 1)), decode_ranks=draw(st.integers(1, 8))
        ),
    )


def count_flops(model: WanShape, latent_frames: int, height: int, width: int) -> float:
    """What torch counts in one pass of diffusers' model, on tensors without data."""
    with torch.device("meta"):
        transformer = WanTransformer3DModel(
            num_layers=model.num_blocks,
            num_attention_heads=model.num_heads,
            attention_head_dim=model.head_width,
            ffn_dim=model.feed_forward,
        )
        latents = torch.empty(1, 16, latent_frames, height, width)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            transformer(
                hidden_states=latents,
                timestep=torch.empty(1, dtype=torch.int64),
                encoder_hidden_states=torch.empty(1, 512, 4096),
            )
    return counter.get_total_flops()


@pytest.mark.parametrize("model", [WAN_14B, WAN_1_3B], ids=lambda model: model.name)
def test_arithmetic_is_what_torch_counts_in_diffusers_model(model):
    model = replace(model, num_blocks=2)
    assert pass_flops(model, 3 * 8 * 12).total == count_flops(model, 3, 16, 24)


def test_a_pass_of_the_14b_at_480p_is_1_7_petaflop_half_of_it_attention():
    flops = pass_flops(WAN_14B, SIZE_480P.num_tokens)
    assert flops.total == pytest.approx(1.678e15, rel=1e-3)
    assert flops.attention / flops.total == pytest.approx(0.54, abs=0.01)
    assert pass_flops(WAN_14B, SIZE_720P.num_tokens).total == pytest.approx(6.523e15, rel=1e-3)


def test_tokens_of_the_two_sizes():
    assert (SIZE_480P.num_tokens, SIZE_720P.num_tokens) == (32_760, 75_600)
    assert VideoSize(num_frames=17, height=96, width=96).num_tokens == 5 * 6 * 6


@given(num_tokens=st.integers(1, 100_000), shards=st.integers(1, 64))
def test_only_what_belongs_to_tokens_is_shared_out(num_tokens, shards):
    one, many = pass_flops(WAN_14B, num_tokens), pass_flops(WAN_14B, num_tokens, shards=shards)
    text = 40 * 2 * 512 * 2 * 5120**2
    for field in fields(one):
        whole, part = getattr(one, field.name), getattr(many, field.name)
        everywhere = {"embeddings": whole, "cross_projections": text}.get(field.name, 0)
        assert part == pytest.approx(everywhere + (whole - everywhere) / shards)


def test_bytes_of_ulysses_and_ring_at_720p():
    token = 5120 * 2
    on_eight = replace(BASE, layout=Layout(ulysses=8))
    assert ulysses_bytes(on_eight) == 4 * 9_450 * token * 7 / 8
    assert ring_bytes(on_eight) == 0
    on_rings = replace(BASE, layout=Layout(cfg=2, ring=3, ulysses=8))
    assert ulysses_bytes(on_rings) == 4 * 3_150 * token * 7 / 8
    assert ring_bytes(on_rings) == 2 * 2 * (75_600 // 3) * token / 8  # K and V of two others, an eighth of the heads


def test_bytes_outside_the_blocks_are_64_values_a_token():
    on_eight = replace(BASE, layout=Layout(ulysses=8))
    assert gather_bytes(on_eight) == 7 * 9_450 * 64 * (4 + 2 + 2)
    assert guidance_bytes(on_eight) == 0
    on_branches = replace(BASE, layout=Layout(cfg=2, ulysses=4))
    assert gather_bytes(on_branches) == 3 * 18_900 * 64 * (4 + 2)
    assert guidance_bytes(on_branches) == 18_900 * 64 * 2


def test_wire_seconds_of_one_full_round_on_eight():
    render = replace(BASE, layout=Layout(ulysses=8), rounds=Rounds(num_steps=1, num_full=1))
    blocks = 2 * 40
    collectives = blocks * 4 + 3
    num_bytes = blocks * ulysses_bytes(render) + gather_bytes(render)
    assert predict(render).wire == pytest.approx(num_bytes / 370e9 + collectives * 20e-6)


def test_groups_within_a_node_are_faster_than_across():
    network = Network(name="toy", node_bytes=100, across_bytes=10, latency_seconds=1, gpus_per_node=8)
    assert network.seconds(1000, collectives=2, span=8) == 12
    assert network.seconds(1000, collectives=2, span=9) == 102


def test_forecast_rounds_are_silent_but_for_the_guidance_exchange():
    full = {}
    for cfg in (1, 2):
        layout = Layout(cfg=cfg, ulysses=4)
        alone, forecast = (
            predict(replace(BASE, layout=layout, rounds=Rounds(num_steps=steps, num_full=10))).wire
            for steps in (10, 50)
        )
        full[cfg] = (forecast - alone) / 40
    assert full[1] == 0
    assert full[2] == pytest.approx(18_900 * 64 * 2 / 370e9 + 20e-6)


def test_a_forecast_round_reads_the_history_once():
    render = replace(BASE, rounds=Rounds(num_steps=50, num_full=14, num_snapshots=8))
    features, latents = 75_600 * 5120 * 2, 75_600 * 64 * 4
    seconds = (2 * (8 + 2) * features + 10 * latents) / 3.0e12 + 2 * (2 * 75_600 * 5120 * 64) / 780e12
    assert predict(render).forecast == pytest.approx(36 * seconds)
    assert seconds < 0.006
    assert predict(replace(render, rounds=Rounds(num_steps=50, num_full=14))).forecast > predict(render).forecast


def test_a_forecast_of_the_velocity_reads_64_values_a_token_runs_no_head_and_exchanges_nothing():
    render = replace(BASE, rounds=Rounds(num_steps=50, num_full=14, num_snapshots=8), forecasts_velocity=True)
    values = 75_600 * 64
    seconds = ((8 + 1) * values * 2 + 10 * values * 4) / 3.0e12
    assert predict(render).forecast == pytest.approx(36 * seconds)
    apart = replace(render, layout=Layout(cfg=2))
    all_full = replace(apart, rounds=Rounds(num_steps=14, num_full=14))
    assert predict(apart).wire == pytest.approx(predict(all_full).wire)
    assert predict(replace(apart, forecasts_velocity=False)).wire > predict(apart).wire


@given(render=renders())
def test_no_part_is_negative_and_the_largest_dominates(render):
    breakdown = predict(render)
    parts = {field.name: getattr(breakdown, field.name) for field in fields(breakdown)}
    assert min(parts.values()) >= 0
    assert breakdown.total == pytest.approx(sum(parts.values()))
    assert parts[breakdown.dominant] == max(parts.values())


@given(render=renders())
def test_nothing_beats_the_peak_of_all_its_gpus(render):
    flops = 2 * pass_flops(render.model, render.size.num_tokens).total * render.rounds.num_full
    assert predict(render).total >= flops / (render.chip.peak_flops * render.layout.world_size)


@given(render=renders(), factor=st.floats(1, 100), field=st.sampled_from(("node_bytes", "across_bytes")))
def test_more_bandwidth_is_never_slower(render, factor, field):
    network = replace(render.network, **{field: getattr(render.network, field) * factor})
    assert predict(replace(render, network=network)).total <= predict(render).total


@given(render=renders(), factor=st.floats(1, 100))
def test_a_faster_chip_is_never_slower(render, factor):
    names = [field.name for field in fields(Chip) if field.name != "name"]
    chip = Chip(name="faster", **{name: getattr(render.chip, name) * factor for name in names})
    assert predict(replace(render, chip=chip)).total <= predict(render).total


@given(render=renders(), data=st.data())
def test_more_ranks_never_make_the_arithmetic_slower(render, data):
    layouts = [layout for world_size in WORLD_SIZES for layout in even_layouts(world_size, render.problem)]
    layout = render.layout
    larger = [
        other
        for other in layouts
        if other.cfg >= layout.cfg and other.ring >= layout.ring and other.ulysses >= layout.ulysses
    ]
    wider = replace(render, layout=data.draw(st.sampled_from(larger)))
    assert predict(wider).compute <= predict(render).compute * (1 + 1e-12)
    assert predict(wider).forecast <= predict(render).forecast * (1 + 1e-12)


@given(render=renders())
def test_forecasts_are_never_slower_and_never_better_than_ideal(render):
    assert 1 - 1e-12 <= speedup(render) <= render.rounds.ideal_speedup * (1 + 1e-12)
    assert share_of_ideal(render) == pytest.approx(speedup(render) * render.rounds.num_full / render.rounds.num_steps)


@given(render=renders())
def test_one_rank_sends_nothing(render):
    assert predict(replace(render, layout=Layout())).wire == 0


@given(render=renders())
def test_overlap_hides_the_wire(render):
    apart, hidden = (
        predict(replace(render, assumptions=replace(render.assumptions, overlap=overlap))) for overlap in (0, 1)
    )
    assert hidden.wire == 0
    assert hidden.total == pytest.approx(apart.total - apart.wire)


@given(render=renders(), seconds=st.floats(1, 1e6))
def test_a_fitted_efficiency_gives_the_seconds_it_was_fitted_to(render, seconds):
    fastest = predict(replace(render, assumptions=replace(render.assumptions, efficiency=1))).total
    efficiency = fitted_efficiency(render, fastest + seconds)
    fitted = replace(render, assumptions=replace(render.assumptions, efficiency=efficiency))
    assert predict(fitted).total == pytest.approx(fastest + seconds)


@given(render=renders(), seconds=st.floats(0.1, 1000))
def test_a_measured_full_round_is_taken_as_it_is(render, seconds):
    measured = Assumptions(measured_full_round_seconds=seconds)
    alone = predict(replace(render, layout=Layout(), assumptions=measured))
    assert alone.compute == pytest.approx(render.rounds.num_full * seconds)
    on_gang = predict(replace(render, assumptions=measured))
    assert alone.compute / render.layout.world_size <= on_gang.compute * (1 + 1e-12)


def test_decoding_on_several_ranks_is_shared_out():
    shared = replace(BASE, assumptions=Assumptions(decode_ranks=5))
    assert (predict(BASE).decode, predict(shared).decode) == pytest.approx((10, 2))
    assert predict(replace(BASE, size=SIZE_480P)).decode == pytest.approx(10 * 480 * 832 / (720 * 1280))


@given(num_ranks=st.integers(1, 128), model=st.sampled_from((WAN_14B, WAN_1_3B)), small=st.booleans())
def test_even_layouts_are_accepted_and_stay_in_their_node(num_ranks, model, small):
    size = SIZE_480P if small else SIZE_720P
    render = replace(BASE, model=model, size=size)
    layouts = even_layouts(num_ranks, render.problem)
    for layout in layouts:
        assert replace(render, layout=layout).layout.world_size == num_ranks
        assert 8 % layout.ulysses == 0
    assert len(layouts) == len(set(layouts))


def test_no_gang_of_64_divides_the_tokens():
    for size in (SIZE_480P, SIZE_720P):
        problem = replace(BASE, size=size).problem
        assert even_layouts(64, problem) == []
        assert Layout(cfg=2, ring=3, ulysses=8) in even_layouts(48, problem)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Layout(cfg=3), "cfg=3 must be 1, or 2"),
        (lambda: Layout(ring=0), "ring=0 must be at least 1"),
        (lambda: Layout(ulysses=-1), "ulysses=-1 must be at least 1"),
        (lambda: Rounds(num_full=51), "num_full=51 must be 1 to num_steps=50"),
        (lambda: Rounds(num_full=0), "num_full=0 must be 1 to num_steps=50"),
        (lambda: Rounds(num_full=14, num_snapshots=51), "num_snapshots=51 must be 1 to num_steps=50"),
        (lambda: Assumptions(efficiency=0), "efficiency=0 must be above 0 and at most 1"),
        (lambda: Assumptions(efficiency=1.1), "efficiency=1.1 must be above 0 and at most 1"),
        (lambda: Assumptions(overlap=1.5), "overlap=1.5 must be 0 to 1"),
        (lambda: Assumptions(overlap=float("nan")), "overlap=nan must be 0 to 1"),
        (lambda: Assumptions(decode_ranks=0), "decode_ranks=0 must be at least 1"),
        (lambda: Assumptions(text_seconds=-1), "text_seconds=-1 must be at least 0"),
        (lambda: Assumptions(measured_full_round_seconds=0), "measured_full_round_seconds=0 must be above 0"),
        (lambda: Assumptions(measured_full_round_seconds=9, efficiency=0.5), "efficiency=0.5 must be left at 1"),
        (
            lambda: replace(BASE, layout=Layout(ulysses=16)),
            "ulysses 16 does not divide the model's 40 attention heads",
        ),
        (
            lambda: replace(BASE, layout=Layout(ring=32)),
            "ring 32 does not divide the video's 75600 tokens into 32 equal slices",
        ),
        (lambda: replace(H100, matmul_flops=1e15), "matmul_flops=1000000000000000.0 must be at most peak_flops"),
        (lambda: replace(HOPPER_NODES, node_bytes=0), "node_bytes=0 of NVLink 4 .* must be above 0"),
        (lambda: VideoSize(num_frames=80, height=480, width=832), "num_frames=80 must be 4k"),
        (lambda: VideoSize(height=480, width=830), "width=830 must be a multiple of 16"),
        (lambda: replace(WAN_14B, num_heads=0), "num_heads=0 must be at least 1"),
        (lambda: pass_flops(WAN_14B, 0), "num_tokens=0 must be at least 1"),
        (lambda: fitted_efficiency(BASE, 100), "total_seconds=100 must be at least"),
    ],
)
def test_what_cannot_be_is_refused_with_its_name_and_what_is_allowed(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_model_needs_the_standard_library_alone():
    code = "import sys, parallel.render_time; assert not {'torch', 'numpy', 'diffusers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
