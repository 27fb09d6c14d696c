"""The inner products of the features of all steps of a video, for calibration."""

from collections import defaultdict

import torch

from spectrum import Features, inner_products


class GramRecorder:
    """An observer of the engine that collects every round's features and turns them into a T×T matrix.

    The hidden state is taken as the output head takes it, normalised over each token's channels: the head begins
    with a LayerNorm, which makes its mean and scale meaningless. They are kept in their own dtype, and of long videos
    only every so many tokens.
    """

    def __init__(self, features: Features, *, token_stride: int) -> None:
        """Keeps every `token_stride`-th token of this rank's slice."""
        self._features = features
        self._token_stride = token_stride
        self._kept: dict[str, list[torch.Tensor]] = defaultdict(list)

    def __call__(self, name: str, _step: int, features_BSD: torch.Tensor) -> None:
        """Take in the features of one round."""
        kept = features_BSD[:, :: self._token_stride]
        if self._features is Features.HIDDEN:
            kept = torch.nn.functional.layer_norm(kept.float(), kept.shape[-1:])
        self._kept[name].append(kept.to(features_BSD.dtype, copy=True).flatten())

    def gram(self) -> torch.Tensor:
        """(T, T), float64 on the CPU: the sum over the histories, of this rank's tokens."""
        total: torch.Tensor | None = None
        for rounds in self._kept.values():
            own = torch.zeros(len(rounds), len(rounds), dtype=torch.float64)
            for step, one in enumerate(rounds):
                products = inner_products(rounds[: step + 1], one)
                own[step, : step + 1] = own[: step + 1, step] = products
            total = own if total is None else total + own
        assert total is not None, "nothing was recorded"
        return total
