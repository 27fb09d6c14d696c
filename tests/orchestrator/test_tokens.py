"""Latents as tokens, and back."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.tokens import LatentShape

grids = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
patches = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3))


def shape_of(grid, patch, channels) -> LatentShape:
    frames, height, width = (cells * size for cells, size in zip(grid, patch, strict=True))
    return LatentShape(channels=channels, frames=frames, height=height, width=width, patch=patch)


@given(grid=grids, patch=patches, channels=st.integers(1, 5), batch=st.integers(1, 2))
def test_there_and_back_changes_nothing(grid, patch, channels, batch):
    shape = shape_of(grid, patch, channels)
    latents = torch.randn(batch, channels, shape.frames, shape.height, shape.width)
    tokens = shape.to_tokens(latents)
    assert tokens.shape == (batch, shape.num_tokens, latents[0].numel() // shape.num_tokens)
    assert torch.equal(shape.to_latents(tokens), latents)
    assert torch.equal(shape.to_tokens(shape.to_latents(tokens)), tokens)


@given(grid=grids, patch=patches, channels=st.integers(1, 5))
def test_a_token_holds_its_patch_and_nothing_else(grid, patch, channels):
    shape = shape_of(grid, patch, channels)
    indices = torch.arange(channels * shape.frames * shape.height * shape.width, dtype=torch.float64)
    latents = indices.reshape(1, channels, shape.frames, shape.height, shape.width)
    tokens = shape.to_tokens(latents)
    patch_frames, patch_height, patch_width = patch
    _, height, width = grid
    for token in range(shape.num_tokens):
        frame, row, column = token // (height * width), token // width % height, token % width
        region = latents[
            0,
            :,
            frame * patch_frames : (frame + 1) * patch_frames,
            row * patch_height : (row + 1) * patch_height,
            column * patch_width : (column + 1) * patch_width,
        ]
        assert set(tokens[0, token].tolist()) == set(region.flatten().tolist())


def test_tokens_are_in_the_order_of_the_transformers_own(pipe):
    """The patch embedding is a convolution; on its tokens it is a plain product with the same weights."""
    transformer = pipe.transformer
    shape = LatentShape(channels=16, frames=3, height=4, width=6, patch=(1, 2, 2))
    latents = torch.randn(1, 16, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        embedded = transformer.patch_embedding(latents).flatten(2).transpose(1, 2)
        weight = transformer.patch_embedding.weight.permute(0, 2, 3, 4, 1).flatten(1)
        product = shape.to_tokens(latents) @ weight.T + transformer.patch_embedding.bias
    torch.testing.assert_close(product, embedded, rtol=1e-4, atol=1e-5)


@given(seed=st.integers(0, 2**63 - 1))
def test_noise_is_the_pipelines_own_of_the_same_seed(seed):
    shape = LatentShape(channels=16, frames=2, height=4, width=4, patch=(1, 2, 2))
    from diffusers.utils.torch_utils import randn_tensor

    drawn = randn_tensor((1, 16, 2, 4, 4), generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
    assert torch.equal(shape.draw_noise(seed), drawn)


def test_noise_depends_on_nothing_but_the_seed_and_the_shape():
    shape = LatentShape(channels=16, frames=2, height=4, width=4, patch=(1, 2, 2))
    first = shape.draw_noise(5)
    torch.manual_seed(1)
    torch.rand(3)
    assert torch.equal(shape.draw_noise(5), first)
    assert not torch.equal(shape.draw_noise(6), first)
    assert first.dtype == torch.float32
