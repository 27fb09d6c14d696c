"""The inner products of the features of all steps of a video, for calibration."""

from collections import defaultdict

import torch

from spectrum import Features


class GramRecorder:
    """An observer of the engine that collects every round's features and turns them into a T×T matrix.

    The hidden state is taken as the output head takes it, normalised over each token's channels: the head begins
    with a LayerNorm, which makes its mean and scale meaningless. Of long videos only every so many tokens are kept.
    """

    def __init__(self, features: Features, *, token_stride: int) -> None:
        """Keeps every `token_stride`-th token of this rank's slice."""
        self._features = features
        self._token_stride = token_stride
        self._kept: dict[str, list[torch.Tensor]] = defaultdict(list)

    def __call__(self, name: str, _step: int, features_BSD: torch.Tensor) -> None:
        """Take in the features of one round."""
        kept = features_BSD[:, :: self._token_stride].float()
        if self._features is Features.HIDDEN:
            kept = torch.nn.functional.layer_norm(kept, kept.shape[-1:])
        self._kept[name].append(kept.flatten().clone())

    def gram(self) -> torch.Tensor:
        """(T, T), float64 on the CPU: the sum over the histories, of this rank's tokens."""
        total: torch.Tensor | None = None
        for rounds in self._kept.values():
            features_TE = torch.stack(rounds)
            rows = [(features_TE @ one).double().cpu() for one in features_TE]
            own = torch.stack(rows)
            total = own if total is None else total + own
        assert total is not None, "nothing was recorded"
        return (total + total.mT) / 2
