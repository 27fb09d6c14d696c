"""The history: what is kept, what it costs, and that slices may be forecast apart."""

from itertools import accumulate

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile

from spectrum import Gram, History

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def draw_features(shape, *, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def draw_weights(count, *, seed=1):
    return torch.randn(count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def history_of(features_KBSD) -> History:
    history = History(len(features_KBSD))
    for step, features in enumerate(features_KBSD):
        history.append(step, features)
    return history


@pytest.mark.parametrize("dtype", DTYPES)
@given(
    num_snapshots=st.integers(1, 14),
    num_tokens=st.integers(1, 70),
    channels=st.integers(1, 20),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=60)
def test_forecast_of_a_slice_is_the_slice_of_the_forecast_bit_for_bit(
    *, dtype, num_snapshots, num_tokens, channels, cut, seed
):
    features_KBSD = draw_features((num_snapshots, 2, num_tokens, channels), dtype=dtype, seed=seed)
    weights_K = draw_weights(num_snapshots, seed=seed)
    start, end = sorted(int(share * num_tokens) for share in cut)
    whole = history_of(features_KBSD).forecast(weights_K)
    part = history_of(features_KBSD[:, :, start:end]).forecast(weights_K)
    assert torch.equal(whole[:, start:end], part)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2**-8)]
)
@given(num_snapshots=st.integers(1, 14), seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_forecast_is_the_weighted_sum_in_the_features_dtype(dtype, tolerance, num_snapshots, seed):
    features_KSD = draw_features((num_snapshots, 5, 3), dtype=dtype, seed=seed)
    weights_K = draw_weights(num_snapshots, seed=seed)
    forecast = history_of(features_KSD).forecast(weights_K)
    exact = torch.einsum("k,ksd->sd", weights_K, features_KSD.double())
    # Summed in float32 and rounded once: the error is one rounding of the sum, and float32's of its terms.
    terms = torch.einsum("k,ksd->sd", weights_K.abs(), features_KSD.double().abs())
    assert forecast.dtype == dtype
    assert forecast.shape == (5, 3)
    assert ((forecast.double() - exact).abs() <= tolerance * exact.abs() + 1e-6 * terms).all()


def test_a_large_cancellation_survives_in_bfloat16():
    """Extrapolation weights are large and of both signs: a bfloat16 sum would lose every digit."""
    features = torch.full((4,), 1.0, dtype=torch.bfloat16)
    history = history_of([features, features, features])
    weights_K = torch.tensor([1000.0, -2000.0, 1000.5], dtype=torch.float64)
    assert torch.equal(history.forecast(weights_K), torch.full((4,), 0.5, dtype=torch.bfloat16))


@pytest.mark.parametrize("dtype", DTYPES)
def test_weight_one_on_a_snapshot_gives_it_back_bit_for_bit(dtype):
    features_KSD = draw_features((4, 6, 5), dtype=dtype)
    history = history_of(features_KSD)
    for k in range(4):
        assert torch.equal(history.forecast(torch.eye(4, dtype=torch.float64)[k]), features_KSD[k])


def test_a_snapshot_without_weight_is_not_read():
    spoilt = torch.full((3,), float("nan"))
    assert history_of([spoilt, torch.ones(3)]).forecast(torch.tensor([0.0, 1.0])).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_history_takes_its_snapshots_bytes_and_no_more(dtype):
    history = History(9)
    assert history.num_bytes == 0
    features = draw_features((2, 10, 8), dtype=dtype)
    for step in range(9):
        history.append(step, features)
        assert history.num_bytes == 9 * features.nbytes


def test_forecast_needs_no_float32_copy_of_the_history():
    """The published code casts the whole history; here two float32 snapshots are alive at a time, of 12."""
    snapshot_bytes = 4 * 64 * 512
    history = history_of(draw_features((12, 64, 512), dtype=torch.bfloat16))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        history.forecast(draw_weights(12))
    # An operation allocates when it starts and frees its temporaries when it ends.
    changes = sorted(
        (
            event.time_range.start if event.self_cpu_memory_usage > 0 else event.time_range.end,
            event.self_cpu_memory_usage,
        )
        for event in profiler.events()
        if event.self_cpu_memory_usage != 0
    )
    peak = max(accumulate(num_bytes for _, num_bytes in changes))
    assert snapshot_bytes <= peak <= 3 * snapshot_bytes


def test_appended_features_are_copied():
    features = torch.ones(3)
    history = history_of([features])
    features.zero_()
    assert history.forecast(torch.ones(1)).tolist() == [1.0, 1.0, 1.0]


def test_a_forecast_does_not_change_the_history():
    history = history_of(draw_features((3, 4)))
    first = history.forecast(draw_weights(3))
    kept = first.clone()
    first.zero_()
    assert torch.equal(history.forecast(draw_weights(3)), kept)


def test_history_holds_no_autograd_graph():
    history = history_of([torch.ones(3, requires_grad=True) * 2])
    assert not history.forecast(torch.ones(1)).requires_grad


@given(steps=st.sets(st.integers(0, 99), min_size=1, max_size=12))
@settings(deadline=None)
def test_steps_are_those_appended_in_order(steps):
    history = History(len(steps))
    for count, step in enumerate(sorted(steps)):
        assert len(history) == count
        history.append(step, torch.zeros(2))
    assert history.steps == tuple(sorted(steps))


@given(capacity=st.integers(1, 6), num_snapshots=st.integers(1, 6))
@settings(deadline=None)
def test_a_partly_filled_history_forecasts_from_what_it_holds(capacity, num_snapshots):
    features_KD = draw_features((min(capacity, num_snapshots), 4), dtype=torch.float64)
    history = History(capacity)
    for step, features in enumerate(features_KD):
        history.append(step, features)
    weights_K = draw_weights(len(features_KD))
    torch.testing.assert_close(history.forecast(weights_K), weights_K @ features_KD, rtol=0, atol=1e-12)


def test_a_full_history_drops_its_oldest_snapshot_and_keeps_its_memory():
    features_KD = draw_features((9, 4), dtype=torch.float64)
    history = History(3)
    sizes = set()
    for step, features_D in enumerate(features_KD):
        history.append(step, features_D)
        sizes.add((history.num_bytes, history.stored()[1].data_ptr()))
        kept = features_KD[max(0, step - 2) : step + 1]
        assert history.steps == tuple(range(max(0, step - 2), step + 1))
        assert torch.equal(torch.stack(history.snapshots), kept)
        weights_K = draw_weights(len(kept), seed=step)
        torch.testing.assert_close(history.forecast(weights_K), weights_K @ kept)
    assert len(sizes) == 1


def test_a_restored_history_forecasts_bit_for_bit_and_goes_on_as_the_other():
    features_KD = draw_features((7, 1000))
    history, restored = History(3), History(3)
    for step in range(5):
        history.append(step, features_KD[step])
    restored.restore(*history.stored())
    for step in (5, 6):
        weights_K = draw_weights(3, seed=step)
        assert restored.steps == history.steps
        assert torch.equal(restored.forecast(weights_K), history.forecast(weights_K))
        history.append(step, features_KD[step])
        restored.append(step, features_KD[step])


def test_more_snapshots_than_fit_are_not_restored():
    with pytest.raises(ValueError, match="3 snapshots do not fit a history of 2"):
        History(2).restore((0, 1, 2), draw_features((3, 4)))


def test_inner_products_are_those_of_the_definition_and_add_up_over_slices():
    features_KSD = draw_features((4, 6, 5))
    whole, slices = history_of(features_KSD[:3]), [history_of(part[:3]) for part in features_KSD.split(2, dim=1)]
    products = whole.inner_products(features_KSD[3])
    expected = features_KSD.double().flatten(1) @ features_KSD[3].double().flatten()
    torch.testing.assert_close(products, expected, rtol=1e-12, atol=1e-12)
    by_slice = [one.inner_products(part[3]) for one, part in zip(slices, features_KSD.split(2, dim=1), strict=True)]
    torch.testing.assert_close(torch.stack(by_slice).sum(0), products, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_small_errors_are_told_from_none_among_a_million_elements(dtype):
    """A difference of nearly equal sums: the error is a thousandth, its square a millionth of them."""
    draw = torch.Generator().manual_seed(0)
    old = torch.randn(2**20, generator=draw).to(dtype)
    new = (old.float() + 1e-2 * torch.randn(2**20, generator=draw)).to(dtype)
    history, gram = History(1), Gram(1)
    gram.append(history.inner_products(old))
    history.append(0, old)
    error = gram.forecast_error(torch.ones(1, dtype=torch.float64), history.inner_products(new))
    exact = float((new.double() - old.double()).norm() / new.double().norm())
    assert error == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("step", [3, 5])
def test_a_step_that_is_not_later_is_refused(step):
    history = History(3)
    history.append(5, torch.zeros(3))
    with pytest.raises(ValueError, match=f"step {step} is not after step 5"):
        history.append(step, torch.zeros(3))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (torch.zeros(2, 4), r"\(2, 4\).*\(2, 3\)"),
        (torch.zeros(3), r"\(3,\).*\(2, 3\)"),  # it would broadcast
        (torch.zeros(2, 3, dtype=torch.bfloat16), "bfloat16.*float32"),
    ],
)
def test_features_of_another_shape_or_dtype_are_refused(features, message):
    history = History(3)
    history.append(0, torch.zeros(2, 3))
    with pytest.raises(ValueError, match=message):
        history.append(1, features)
    assert len(history) == 1


@pytest.mark.parametrize("count", [1, 3])
def test_a_wrong_number_of_weights_is_refused(count):
    with pytest.raises(ValueError, match=f"{count} weights for a history of 2 snapshots"):
        history_of(draw_features((2, 3))).forecast(torch.ones(count))


def test_an_empty_history_cannot_forecast():
    with pytest.raises(ValueError, match="history of 0 snapshots"):
        History(3).forecast(torch.ones(0))


@pytest.mark.parametrize("capacity", [0, -2])
def test_a_capacity_below_one_is_named(capacity):
    with pytest.raises(ValueError, match=f"capacity={capacity}"):
        History(capacity)
