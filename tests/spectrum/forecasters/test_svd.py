"""The one forecaster that is not a weighted sum of snapshots."""

import torch

from spectrum.forecasters.svd import principal_forecast


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_with_all_directions_it_is_the_linear_forecast():
    linear, newest = draw(1, 20, 6, seed=0), draw(1, 20, 6, seed=1)
    torch.testing.assert_close(principal_forecast(linear, newest, rank=6), linear, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(principal_forecast(linear, newest, rank=99), linear, atol=1e-5, rtol=1e-5)


def test_change_within_the_leading_directions_is_kept_and_the_rest_is_reused():
    basis = torch.linalg.qr(draw(6, 6, seed=2))[0]
    newest = (draw(20, 6, seed=3) * torch.tensor([9.0, 8.0, 0.1, 0.1, 0.1, 0.1])) @ basis.mT
    leading, trailing = basis[:, :2], basis[:, 2:]
    change = draw(20, 2, seed=4) @ leading.mT, draw(20, 4, seed=5) @ trailing.mT
    forecast = principal_forecast((newest + change[0] + change[1])[None], newest[None], rank=2)[0] - newest
    assert (forecast - change[0]).norm() < 0.2 * change[0].norm()
    assert (forecast @ trailing).norm() < 0.1 * change[1].norm()


def test_dtype_is_the_features():
    assert principal_forecast(draw(1, 4, 3, seed=0).bfloat16(), draw(1, 4, 3, seed=1).bfloat16(), rank=2).dtype == (
        torch.bfloat16
    )
