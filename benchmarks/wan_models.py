"""Wan's parts with random weights, built on the meta device and drawn where they are used.

Timing does not depend on the values, but on there being some: products of zeros run faster than those of numbers.
Weights are normal with a deviation of 0.02 and norms scale by one, so that nothing overflows and the logits of
attention spread as a trained model's do.
"""

from collections.abc import Collection
from typing import Any

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from torch import nn

from benchmarks.wan_shapes import ModelShape, transformer_config
from parallel.wan_shapes import WanShape

_DEVIATION = 0.02


def draw_weights(
    model: nn.Module,
    *,
    device: torch.device,
    dtype: torch.dtype,
    float32_modules: Collection[str] = (),
    seed: int = 0,
) -> None:
    """Give a model on the meta device weights on `device`, and make it ready for inference.

    Args:
        model: without buffers that are not saved: these would stay on the meta device.
        device: where the weights are drawn, so that nothing is moved.
        dtype: of all weights but those below.
        float32_modules: names of modules or parameters that stay in float32, wherever in the model they are.
        seed: of the weights.
    """
    generator = torch.Generator(device).manual_seed(seed)
    weights = {}
    for name, shape in [(name, tensor.shape) for name, tensor in model.state_dict().items()]:
        is_kept = not set(float32_modules).isdisjoint(name.split("."))
        weight = torch.empty(shape, device=device, dtype=torch.float32 if is_kept else dtype)
        weights[name] = (
            weight.fill_(1) if _scales_a_norm(name) else weight.normal_(0, _DEVIATION, generator=generator)
        )
    model.load_state_dict(weights, assign=True)
    model.eval().requires_grad_(False)


def build_transformer(shape: WanShape, *, device: torch.device, dtype: torch.dtype) -> WanTransformer3DModel:
    """The denoiser; the few parts that diffusers keeps in float32 are so here too."""
    with torch.device("meta"):
        transformer = WanTransformer3DModel(**transformer_config(shape))
    # The rotary frequencies are computed when the module is made, and so must be made off the meta device.
    config = transformer.config
    rope = type(transformer.rope)(config.attention_head_dim, config.patch_size, config.rope_max_seq_len)
    transformer.rope = rope.to(device)
    draw_weights(transformer, device=device, dtype=dtype, float32_modules=WanTransformer3DModel._keep_in_fp32_modules)
    return transformer


def build_vae(shape: ModelShape, *, device: torch.device) -> AutoencoderKLWan:
    """The autoencoder in float32."""
    with torch.device("meta"):
        vae = AutoencoderKLWan(**shape.vae)
    draw_weights(vae, device=device, dtype=torch.float32)
    return vae


def build_text_encoder(shape: ModelShape, *, device: torch.device, dtype: torch.dtype) -> Any:
    """UMT5's encoder. Needs transformers, which nothing else here does."""
    from transformers import UMT5Config, UMT5EncoderModel  # noqa: PLC0415

    with torch.device("meta"):
        encoder = UMT5EncoderModel(UMT5Config(**shape.text_encoder))
    draw_weights(encoder, device=device, dtype=dtype)
    encoder.tie_weights()  # the token embedding has two names, and was drawn under each
    return encoder


def build_scheduler(flow_shift: float) -> UniPCMultistepScheduler:
    """The solver with Wan2.1's settings."""
    return UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=flow_shift
    )


def _scales_a_norm(name: str) -> bool:
    module, _, parameter = name.rpartition(".")
    return parameter == "gamma" or (parameter == "weight" and "norm" in module.rpartition(".")[2])
