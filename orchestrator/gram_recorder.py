"""The inner products of the features of all steps of a video, for calibration."""

from collections import defaultdict

import torch

from spectrum import Features, inner_products


class GramRecorder:
    """An observer of the engine that collects every round's features and turns them into T×T matrices.

    Features are kept in their own dtype, and of long videos only every so many tokens.
    """

    def __init__(self, features: Features, *, token_stride: int) -> None:
        """Keeps every `token_stride`-th token of this rank's slice."""
        self._features = features
        self._token_stride = token_stride
        self._kept: dict[str, list[torch.Tensor]] = defaultdict(list)

    def __call__(self, name: str, _step: int, features_BSD: torch.Tensor) -> None:
        """Take in the features of one round."""
        kept_BSD = features_BSD[:, :: self._token_stride]
        self._kept[name].append(kept_BSD.clone(memory_format=torch.contiguous_format))

    def grams(self) -> torch.Tensor:
        """Inner products over this rank's tokens, summed over the histories; what was recorded is let go.

        The first matrix is of the features as they are, by which the engine measures an error budget. Of hidden
        states there is a second, of what the output head makes of them: it begins with a LayerNorm over each token's
        channels, which makes their mean and scale meaningless. They are normalised in place, one by one.

        Returns:
            (1, T, T) of velocities, (2, T, T) of hidden states; float64 on the CPU.
        """
        matrices = [self._gram()]
        if self._features is Features.HIDDEN:
            for rounds in self._kept.values():
                for one_BSD in rounds:
                    one_BSD.copy_(torch.nn.functional.layer_norm(one_BSD.float(), one_BSD.shape[-1:]))
            matrices.append(self._gram())
        self._kept.clear()
        return torch.stack(matrices)

    def _gram(self) -> torch.Tensor:
        total: torch.Tensor | None = None
        for rounds in self._kept.values():
            own = torch.zeros(len(rounds), len(rounds), dtype=torch.float64)
            for step, one in enumerate(rounds):
                products = inner_products(rounds[: step + 1], one)
                own[step, : step + 1] = own[: step + 1, step] = products
            total = own if total is None else total + own
        assert total is not None, "nothing was recorded"
        return total
