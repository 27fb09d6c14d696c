"""Inner products of recorded features, against their definition in float64 and what the engine measures."""

from dataclasses import replace

import pytest
import torch
from budget_tasks import SMALL, make_embeds, make_engine
from torch.nn.functional import layer_norm

from orchestrator.gram_recorder import GramRecorder
from parallel.layout import Layout
from spectrum import Features, ForecastSettings, Gram


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def record(features, rounds_TBSD, *, names=("cond",), token_stride=1) -> torch.Tensor:
    recorder = GramRecorder(features, token_stride=token_stride)
    for step, round_BSD in enumerate(rounds_TBSD):
        for name in names:
            recorder(name, step, round_BSD)
    return recorder.grams()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_of_two_million_elements_keep_their_digits(dtype):
    """Rounds that hardly differ: their differences, which calibration lives on, are small beside the products."""
    base = draw(1, 400, 5120)
    rounds = torch.stack([base + 0.01 * draw(1, 400, 5120, seed=step) for step in (1, 2, 3)]).to(dtype)
    flat_TE = rounds.double().flatten(1)
    [gram] = record(Features.VELOCITY, rounds)
    torch.testing.assert_close(gram, flat_TE @ flat_TE.mT, rtol=1e-12, atol=0)
    apart = gram[0, 0] - 2 * gram[0, 1] + gram[1, 1]
    assert apart == pytest.approx(float((flat_TE[0] - flat_TE[1]).square().sum()), rel=1e-8)


def test_of_hidden_states_there_are_the_products_as_they_are_and_as_the_head_takes_them():
    rounds = (5 * draw(3, 1, 40, 64) + 2).bfloat16()
    raw, normed = record(Features.HIDDEN, rounds)
    flat_TE, normed_TE = rounds.double().flatten(1), layer_norm(rounds.double(), (64,)).flatten(1)
    torch.testing.assert_close(raw, flat_TE @ flat_TE.mT, rtol=1e-12, atol=0)
    torch.testing.assert_close(normed, normed_TE @ normed_TE.mT, rtol=2e-3, atol=5.0)


def test_hidden_states_are_kept_once_in_their_own_dtype_and_normalised_in_place():
    rounds = (5 * draw(3, 1, 40, 64) + 2).bfloat16()
    recorder = GramRecorder(Features.HIDDEN, token_stride=2)
    for step, one_BSD in enumerate(rounds):
        recorder("cond", step, one_BSD)
    kept = list(recorder._kept["cond"])
    assert sum(one.nbytes for one in kept) == sum(one.untyped_storage().nbytes() for one in kept) == rounds.nbytes / 2
    recorder.grams()
    for one_BSD, round_BSD in zip(kept, rounds, strict=True):
        torch.testing.assert_close(
            one_BSD.float(), layer_norm(round_BSD[:, ::2].float(), (64,)), rtol=1e-2, atol=1e-2
        )
    assert not recorder._kept, "let go"


def test_errors_of_an_error_budget_are_those_of_the_raw_products():
    """Else budgets that were found in these products would be held to others when a video is rendered."""
    forecast = ForecastSettings(method="damped", plan_shape="list", full_steps=range(7))
    engine, recorder = make_engine(Layout(), 0), GramRecorder(Features.HIDDEN, token_stride=1)
    state = engine.start(replace(SMALL, forecast=forecast), make_embeds())
    engine.observer = recorder
    while not state.is_denoised:
        engine.run_segment(state)
    raw, normed = ([error_at(step, gram_TT, forecast) for step in range(1, 7)] for gram_TT in recorder.grams())
    measured = [one.forecast_error for one in state.rounds[1:7]]
    assert measured == pytest.approx(raw, rel=1e-6)
    assert measured != pytest.approx(normed, rel=1e-2), "else the test could not tell them apart"


def error_at(step: int, gram_TT: torch.Tensor, forecast: ForecastSettings) -> float:
    weights_K = forecast.weights(range(step), step, num_steps=8)
    return Gram(step, gram_TT[:step, :step]).forecast_error(weights_K, gram_TT[: step + 1, step])


def test_what_is_kept_is_no_view_of_what_the_engine_goes_on_with():
    rounds = draw(2, 1, 6, 4)
    recorder = GramRecorder(Features.VELOCITY, token_stride=2)
    for step, one in enumerate(rounds.clone()):
        recorder("guided", step, one)
        one.zero_()
    flat_TE = rounds[:, :, ::2].double().flatten(1)
    torch.testing.assert_close(recorder.grams(), (flat_TE @ flat_TE.mT)[None])


def test_histories_add_up():
    rounds = draw(3, 1, 6, 4)
    both = record(Features.VELOCITY, rounds, names=("cond", "uncond"))
    torch.testing.assert_close(both, 2 * record(Features.VELOCITY, rounds))
