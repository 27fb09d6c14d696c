"""Errors from inner products, against the features themselves."""

from math import isnan

import pytest
import torch

from spectrum import Gram, open_loop_errors


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def gram_of(snapshots_KE: torch.Tensor, capacity: int = 9) -> Gram:
    gram = Gram(capacity)
    for k, one in enumerate(snapshots_KE):
        gram.append(snapshots_KE[max(0, k - capacity) : k + 1] @ one)
    return gram


def test_error_is_that_of_the_features():
    snapshots, new, weights = draw(4, 30), draw(30, seed=1), draw(4, seed=2)
    products = torch.cat([snapshots @ new, (new @ new)[None]])
    expected = (new - weights @ snapshots).norm() / new.norm()
    assert gram_of(snapshots).forecast_error(weights, products) == pytest.approx(float(expected))


def test_distance_is_that_of_two_forecasts():
    snapshots, one, other = draw(4, 30), draw(4, seed=1), draw(4, seed=2)
    expected = ((one - other) @ snapshots).norm() / snapshots[-1].norm()
    assert gram_of(snapshots).distance(one, other) == pytest.approx(float(expected))


def test_oldest_snapshot_is_dropped_as_in_the_history():
    snapshots = draw(6, 30)
    torch.testing.assert_close(gram_of(snapshots, capacity=3).matrix, snapshots[3:] @ snapshots[3:].mT)


def test_perfect_forecast_has_no_error_whatever_the_rounding():
    snapshots = draw(2, 30)
    products = torch.cat([snapshots @ snapshots[1], (snapshots[1] @ snapshots[1])[None]])
    error = gram_of(snapshots).forecast_error(torch.tensor([0.0, 1.0], dtype=torch.float64), products)
    assert 0 <= error < 1e-6
    assert Gram(1).forecast_error(torch.zeros(0, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)) == 0.0


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_has_overflowed_is_no_perfect_forecast(wrong, place):
    snapshots, weights = draw(2, 30), torch.tensor([0.5, 0.5], dtype=torch.float64)
    gram, products = gram_of(snapshots), torch.cat([snapshots @ snapshots[1], torch.ones(1, dtype=torch.float64)])
    products[place] = wrong
    assert isnan(gram.forecast_error(weights, products))
    gram.append(products)
    assert isnan(gram.distance(torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)))


def test_open_loop_errors_are_those_of_forecasting_the_features():
    features, full_steps = draw(7, 40), (0, 2, 5)
    weights = [draw(1, seed=1), draw(2, seed=3), draw(2, seed=4), draw(2, seed=6)]
    histories = {1: [0], 3: [0, 2], 4: [0, 2], 6: [2, 5]}
    expected = [
        (features[step] - own @ features[history]).square().sum()
        for (step, history), own in zip(histories.items(), weights, strict=True)
    ]
    torch.testing.assert_close(open_loop_errors(features @ features.mT, full_steps, weights), torch.stack(expected))
