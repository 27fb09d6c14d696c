"""Decode one video's latents on all ranks of a gang together."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan


class DecodeError(ValueError):
    """Latents that cannot be decoded in parallel."""


def apply_parallel_decode(vae: "AutoencoderKLWan") -> None:
    """Let `vae.decode` split each frame into bands of rows over the ranks of the default process group.

    DistVAE rebuilds the decoder from convolutions that exchange the rows at the bands' edges, so that the frames
    are those of one rank but for the rounding of sums (1e-6 was seen), and memory and time fall with the ranks.
    Every rank calls `vae.decode` with the whole latents and gets the whole frames.
    """
    from distvae.vae import parallelize_decoder  # noqa: PLC0415 - comes with xfuser, and is needed for this alone

    parallelize_decoder(vae, None)


def check_parallel_decode(*, latent_rows: int, num_ranks: int, patch_size: int | None = None) -> None:
    """Refuse bands that would be empty.

    Args:
        latent_rows: height of the latents.
        num_ranks: ranks to decode on.
        patch_size: the autoencoder's own patch size, whose rows stay together; None for Wan2.1's, which has none.

    Raises:
        DecodeError: names the largest number of ranks that works.
    """
    rows_together = patch_size or 1
    bands = latent_rows // rows_together
    if latent_rows % rows_together:
        raise DecodeError(f"{latent_rows} rows of latents do not divide into bands of {rows_together}")
    if bands < num_ranks:
        raise DecodeError(f"{latent_rows} rows of latents make bands for at most {bands} ranks, not {num_ranks}")
