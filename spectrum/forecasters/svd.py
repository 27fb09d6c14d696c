"""SVD-Cache's forecast: the principal part extrapolated, the rest reused. A reconstruction.

From its abstract and secondary sources: features are split by their singular vectors; the leading directions change
smoothly and are forecast, the residual is reused. Not linear in the history with the same weights for every element,
as the directions are those of the newest snapshot; and not a sum over slices: it needs all tokens on one rank.
"""

import torch


def principal_forecast(linear_BSD: torch.Tensor, newest_BSD: torch.Tensor, *, rank: int) -> torch.Tensor:
    """ĥ = h_K + (ĥ_linear − h_K)·V·Vᵀ, V the leading right singular vectors of h_K.

    Args:
        linear_BSD: a linear forecast of the features (batch, tokens, channels).
        newest_BSD: h_K, the newest snapshot.
        rank: directions in V; all channels where there are fewer.

    Returns:
        (batch, tokens, channels), of `newest_BSD`'s dtype.
    """
    newest_ND = newest_BSD.flatten(0, -2).float()
    _, vectors_DD = torch.linalg.eigh(newest_ND.mT @ newest_ND)  # ascending: the last are the leading ones
    leading_DR = vectors_DD[:, -rank:]
    change_BSD = linear_BSD.float() - newest_BSD.float()
    forecast: torch.Tensor = newest_BSD.float() + change_BSD @ leading_DR @ leading_DR.mT
    return forecast.to(newest_BSD.dtype)
