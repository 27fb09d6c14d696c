"""Inner products of recorded features, against their definition in float64."""

import pytest
import torch
from torch.nn.functional import layer_norm

from orchestrator.gram_recorder import GramRecorder
from spectrum import Features


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def record(features, rounds_TBSD, *, names=("cond",), token_stride=1) -> torch.Tensor:
    recorder = GramRecorder(features, token_stride=token_stride)
    for step, round_BSD in enumerate(rounds_TBSD):
        for name in names:
            recorder(name, step, round_BSD)
    return recorder.gram()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_of_two_million_elements_keep_their_digits(dtype):
    """Rounds that hardly differ: their differences, which calibration lives on, are small beside the products."""
    base = draw(1, 400, 5120)
    rounds = torch.stack([base + 0.01 * draw(1, 400, 5120, seed=step) for step in (1, 2, 3)]).to(dtype)
    flat_TE = rounds.double().flatten(1)
    gram = record(Features.VELOCITY, rounds)
    torch.testing.assert_close(gram, flat_TE @ flat_TE.mT, rtol=1e-12, atol=0)
    apart = gram[0, 0] - 2 * gram[0, 1] + gram[1, 1]
    assert apart == pytest.approx(float((flat_TE[0] - flat_TE[1]).square().sum()), rel=1e-8)


def test_hidden_states_are_taken_as_the_head_does_and_kept_in_their_own_dtype():
    rounds = (5 * draw(3, 1, 40, 64) + 2).bfloat16()
    flat_TE = layer_norm(rounds.double(), (64,)).flatten(1)
    torch.testing.assert_close(record(Features.HIDDEN, rounds), flat_TE @ flat_TE.mT, rtol=2e-3, atol=5.0)
    recorder = GramRecorder(Features.HIDDEN, token_stride=1)
    recorder("cond", 0, rounds[0])
    assert {kept.dtype for kept in recorder._kept["cond"]} == {torch.bfloat16}


def test_what_is_kept_is_no_view_of_what_the_engine_goes_on_with():
    rounds = draw(2, 1, 6, 4)
    recorder = GramRecorder(Features.VELOCITY, token_stride=2)
    for step, one in enumerate(rounds.clone()):
        recorder("guided", step, one)
        one.zero_()
    flat_TE = rounds[:, :, ::2].double().flatten(1)
    torch.testing.assert_close(recorder.gram(), flat_TE @ flat_TE.mT)


def test_histories_add_up():
    rounds = draw(3, 1, 6, 4)
    both = record(Features.VELOCITY, rounds, names=("cond", "uncond"))
    torch.testing.assert_close(both, 2 * record(Features.VELOCITY, rounds))
