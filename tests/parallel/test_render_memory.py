"""Bytes of a rank, against what diffusers makes of the same shapes."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKLWan
from diffusers.models import attention_dispatch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.decode_memory import AliveBytes, Decode, peak_bytes
from benchmarks.denoise_memory import counted_bytes, fake_transformer
from parallel.layout import Layout
from parallel.render_memory import (
    WAN_TEXT_PARAMETERS,
    WAN_VAE_PARAMETERS,
    MemoryCase,
    activation_bytes,
    checkpoint_bytes,
    decode_bytes,
    footprint,
    history_bytes,
    transformer_parameters,
    weight_bytes,
)
from parallel.wan_shapes import SIZE_480P, SIZE_720P, WAN_1_3B, WAN_14B, VideoSize

CASE = MemoryCase(model=WAN_14B, size=SIZE_480P, num_snapshots=14)


@pytest.mark.parametrize("model", [WAN_14B, WAN_1_3B])
def test_parameters_are_those_of_the_model_that_diffusers_makes(model):
    with torch.device("meta"):
        transformer = fake_transformer(model, num_blocks=model.num_blocks)
    assert transformer_parameters(model) == sum(parameter.numel() for parameter in transformer.parameters())


def test_autoencoder_is_the_one_that_diffusers_makes():
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in AutoencoderKLWan().parameters()) == WAN_VAE_PARAMETERS


@pytest.mark.parametrize("model", [WAN_14B, WAN_1_3B])
@pytest.mark.parametrize("size", [SIZE_480P, SIZE_720P, VideoSize(height=480, width=832, num_frames=33)])
def test_activations_are_those_that_are_counted(model, size):
    counted = counted_bytes(model, size)
    assert activation_bytes(MemoryCase(model=model, size=size)) == pytest.approx(counted, rel=0.05)


@torch.no_grad()
def counted_ring_slices(ring: int, monkeypatch) -> float:
    """Slices alive at most in diffusers' ring, beside the queries, keys and values that it is given."""
    gathered = SimpleNamespace(all_gather_tensor=lambda slice_E, **_: slice_E.new_empty(ring * slice_E.numel()))
    monkeypatch.setattr(attention_dispatch, "funcol", gathered)

    def attend(_context, query, *_arguments, **_more):
        return torch.empty_like(query), query.new_empty(query.shape[:3], dtype=torch.float32)

    mesh = SimpleNamespace(get_group=lambda: None)
    parallel = SimpleNamespace(_ring_mesh=mesh, _ring_local_rank=0, ring_degree=ring, convert_to_fp32=True)
    with FakeTensorMode():
        query, key, value = (torch.empty(1, 4096, 40, 128, dtype=torch.bfloat16) for _ in range(3))
        with AliveBytes(beside=(query, key, value)) as alive:
            attention_dispatch.TemplatedRingAttention.apply(
                *(query, key, value, None, 0.0, False, None, False, False, attend, None),
                SimpleNamespace(context_parallel_config=parallel),
            )
    return alive.peak / query.nbytes


@pytest.mark.parametrize("ring", [2, 4, 8])
@pytest.mark.parametrize("ulysses", [1, 4])
def test_ring_holds_what_diffusers_gathers_and_joins_whatever_ulysses_has_exchanged(monkeypatch, ring, ulysses):
    """A slice of all heads and one of a quarter of the heads and four times the tokens are as large."""
    layout, without = Layout(ring=ring, ulysses=ulysses), Layout(ulysses=ring * ulysses)
    case = replace(CASE, layout=layout)
    of_ulysses = 3 if ulysses > 1 else 0
    more = (activation_bytes(case) - activation_bytes(replace(case, layout=without))) / case.slice_bytes
    assert more + 3 - of_ulysses == pytest.approx(counted_ring_slices(ring, monkeypatch), rel=0.01)


@pytest.mark.parametrize("tiling", [False, True])
def test_decoding_takes_what_is_counted(tiling):
    size = VideoSize(height=480, width=832, num_frames=17)
    _, counted = peak_bytes(Decode(height=480, width=832, num_frames=17, dtype=torch.float32, tiling=tiling))
    modelled = decode_bytes(MemoryCase(model=WAN_14B, size=size, tiling=tiling))
    assert counted <= modelled < 1.1 * counted


def test_history_of_the_paper_is_that_of_the_design():
    """9.4 GB at 480p and 21.7 GB at 720p for 14 snapshots of both branches in bfloat16."""
    assert history_bytes(CASE) == pytest.approx(9.4e9, rel=0.01)
    assert history_bytes(replace(CASE, size=SIZE_720P)) == pytest.approx(21.7e9, rel=0.01)


def test_history_is_split_over_ranks_and_branches_alike():
    for layout in (Layout(ulysses=8), Layout(cfg=2, ulysses=4), Layout(cfg=2, ring=2, ulysses=2)):
        assert history_bytes(replace(CASE, layout=layout)) == history_bytes(CASE) / 8


def test_velocity_takes_less_than_hidden_states():
    of_velocity = history_bytes(replace(CASE, forecasts_velocity=True))
    assert of_velocity == history_bytes(CASE) / 2 / 80  # one history for both branches, 64 values for 5120


def test_sharded_blocks_leave_a_share_of_the_weights():
    layout = Layout(ulysses=8)
    whole = weight_bytes(replace(CASE, layout=layout))
    assert weight_bytes(replace(CASE, layout=layout, shards_blocks=True)) < whole / 4


def test_stages_need_memory_at_different_times():
    of_rank = footprint(replace(CASE, text_bytes=2.0 * WAN_TEXT_PARAMETERS))
    assert of_rank.peak == max(of_rank.stages.values())
    assert of_rank.peak < of_rank.weights + of_rank.text + of_rank.history + of_rank.activations + of_rank.decode


def test_bands_and_tiles_take_less():
    whole = decode_bytes(replace(CASE, layout=Layout(ulysses=8)))
    assert decode_bytes(replace(CASE, layout=Layout(ulysses=8), decodes_together=True)) < whole / 4
    assert decode_bytes(replace(CASE, tiling=True)) < whole / 3


def test_checkpoint_is_history_and_latents():
    size = checkpoint_bytes(CASE)
    assert size.latents == pytest.approx(4 * 32_760 * 64 * 4)
    assert size.full == pytest.approx(history_bytes(CASE), rel=0.02)
