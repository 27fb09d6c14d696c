"""The transformer's output head on its own, in token space: what a forecast round runs in place of the model."""

import torch
from diffusers import WanTransformer3DModel
from torch.nn import functional


def time_embedding(transformer: WanTransformer3DModel, timestep_B: torch.Tensor) -> torch.Tensor:
    """The embedding of the true timestep that modulates the head: (B,) → (B, width)."""
    embedder = transformer.condition_embedder
    frequencies = embedder.timesteps_proj(timestep_B)
    embedding: torch.Tensor = embedder.time_embedder(frequencies.to(_dtype_of(embedder.time_embedder)))
    return embedding.to(transformer.dtype)


def run_head(
    transformer: WanTransformer3DModel, features_BSW: torch.Tensor, timestep_B: torch.Tensor
) -> torch.Tensor:
    """Velocity tokens from features: norm, modulation by the timestep, output projection.

    The same operations as the end of `WanTransformer3DModel.forward`, but for the gathering of tokens that context
    parallelism hangs on `proj_out`: every rank turns its own slice into velocities, alone.

    Args:
        transformer: a Wan2.1 transformer, with or without context parallelism.
        features_BSW: hidden states after the last block, (batch, tokens of this rank, width).
        timestep_B: the step's timestep, once for each video of the batch.

    Returns:
        (batch, tokens of this rank, values of a token), in the features' dtype.
    """
    embedding_B1W = time_embedding(transformer, timestep_B).unsqueeze(1)
    shift, scale = (transformer.scale_shift_table + embedding_B1W).chunk(2, dim=1)
    normed = transformer.norm_out(features_BSW.float()) * (1 + scale) + shift
    projection = transformer.proj_out
    return functional.linear(normed.type_as(features_BSW), projection.weight, projection.bias)


def _dtype_of(module: torch.nn.Module) -> torch.dtype:
    return next(module.parameters()).dtype
