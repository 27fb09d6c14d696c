"""How one video is split over the ranks of a gang. Needs no torch: layouts are checked before anything is loaded."""

from dataclasses import dataclass


class LayoutError(ValueError):
    """A layout that the model or the video cannot have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Ranks of one gang.

    Ulysses splits the tokens everywhere but inside self-attention, where it splits the heads instead: so the
    degree must divide both.

    Raises:
        LayoutError: the degree is below 1.
    """

    ulysses: int = 1

    def __post_init__(self) -> None:
        if self.ulysses < 1:
            raise LayoutError(f"parallel.ulysses={self.ulysses} must be at least 1")

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.ulysses

    def __str__(self) -> str:
        return f"ulysses {self.ulysses}"


def possible_degrees(*, num_heads: int, num_tokens: int, max_ranks: int) -> list[int]:
    """Ulysses degrees up to `max_ranks` that divide the attention heads and the video's tokens, ascending."""
    return [degree for degree in range(1, max_ranks + 1) if num_heads % degree == 0 and num_tokens % degree == 0]


def check_layout(layout: Layout, *, num_heads: int, num_tokens: int) -> None:
    """Refuse a layout that this model and video size cannot have.

    Args:
        layout: what was asked for.
        num_heads: attention heads of the transformer.
        num_tokens: tokens of the whole video, latent frames × height/16 × width/16.

    Raises:
        LayoutError: says which count does not divide, and the degrees that do.
    """
    possible = possible_degrees(num_heads=num_heads, num_tokens=num_tokens, max_ranks=max(2 * layout.ulysses, 8))
    if layout.ulysses in possible:
        return
    reasons = []
    if num_heads % layout.ulysses:
        reasons.append(f"the model's {num_heads} attention heads")
    if num_tokens % layout.ulysses:
        reasons.append(f"the video's {num_tokens} tokens")
    raise LayoutError(
        f"parallel.ulysses={layout.ulysses} does not divide {' nor '.join(reasons)}; "
        f"possible here: {', '.join(map(str, possible))}"
    )
