"""Flux and HunyuanVideo with random weights, milliseconds a forward, and their pipelines without encoders and VAE."""

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
)

TEXT_DIM = 12
POOLED_DIM = 8
NUM_TEXT_TOKENS = 5
CHANNELS = 4


class Flux:
    """Images of 8 × 8 latents, 16 tokens."""

    @staticmethod
    def transformer(*, num_dual=2, num_single=3, guidance_embeds=True):
        torch.manual_seed(0)
        return FluxTransformer2DModel(
            in_channels=4 * CHANNELS,
            num_layers=num_dual,
            num_single_layers=num_single,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=TEXT_DIM,
            pooled_projection_dim=POOLED_DIM,
            guidance_embeds=guidance_embeds,
            axes_dims_rope=(4, 2, 2),
        ).eval()

    @staticmethod
    def pipe(transformer):
        return FluxPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            transformer=transformer,
            **dict.fromkeys(("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")),
        )

    @staticmethod
    def run(pipe, *, size, prompt, negative, **arguments):
        return pipe(height=size, width=size, **prompt, **negative, **arguments).images

    @staticmethod
    def prompt(generator, prefix=""):
        return {
            f"{prefix}prompt_embeds": torch.randn(1, NUM_TEXT_TOKENS, TEXT_DIM, generator=generator),
            f"{prefix}pooled_prompt_embeds": torch.randn(1, POOLED_DIM, generator=generator),
        }

    @staticmethod
    def inputs(step):
        generator = torch.Generator().manual_seed(step)
        return {
            "hidden_states": torch.randn(1, 16, 4 * CHANNELS, generator=generator),
            "encoder_hidden_states": torch.randn(1, NUM_TEXT_TOKENS, TEXT_DIM, generator=generator),
            "pooled_projections": torch.randn(1, POOLED_DIM, generator=generator),
            "timestep": torch.tensor([1 - 0.07 * step]),
            "guidance": torch.tensor([3.5]),
            "img_ids": torch.cartesian_prod(torch.zeros(1), torch.arange(4.0), torch.arange(4.0)),
            "txt_ids": torch.zeros(NUM_TEXT_TOKENS, 3),
        }


class Hunyuan:
    """Videos of 2 × 4 × 4 latents, 8 tokens."""

    @staticmethod
    def transformer(*, num_dual=2, num_single=3, image_condition_type=None):
        torch.manual_seed(0)
        return HunyuanVideoTransformer3DModel(
            in_channels=CHANNELS,
            out_channels=CHANNELS,
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=num_dual,
            num_single_layers=num_single,
            num_refiner_layers=1,
            text_embed_dim=TEXT_DIM,
            pooled_projection_dim=POOLED_DIM,
            rope_axes_dim=(4, 2, 2),
            image_condition_type=image_condition_type,
        ).eval()

    @staticmethod
    def pipe(transformer):
        return HunyuanVideoPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
            transformer=transformer,
            **dict.fromkeys(("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")),
        )

    @staticmethod
    def run(pipe, *, size, prompt, negative, **arguments):
        return pipe(height=size, width=size, num_frames=5, **prompt, **negative, **arguments).frames

    @staticmethod
    def prompt(generator, prefix=""):
        mask = torch.ones(1, NUM_TEXT_TOKENS)
        mask[:, -1] = 0
        return {**Flux.prompt(generator, prefix), f"{prefix}prompt_attention_mask": mask}

    @staticmethod
    def inputs(step):
        generator = torch.Generator().manual_seed(step)
        mask = torch.ones(1, NUM_TEXT_TOKENS)
        mask[:, -1] = 0
        return {
            "hidden_states": torch.randn(1, CHANNELS, 2, 4, 4, generator=generator),
            "timestep": torch.tensor([999.0 - 70 * step]),
            "encoder_hidden_states": torch.randn(1, NUM_TEXT_TOKENS, TEXT_DIM, generator=generator),
            "encoder_attention_mask": mask,
            "pooled_projections": torch.randn(1, POOLED_DIM, generator=generator),
            "guidance": torch.tensor([6000.0]),
        }


def render(model, pipe, num_steps, *, seed=0, with_negative=False, size=None, on_step_end=None):
    """One image's or video's latents from a pipeline, with guidance by the true branch or by the embedding alone."""
    generator = torch.Generator().manual_seed(seed)
    pipe.set_progress_bar_config(disable=True)
    prompt, negative = model.prompt(generator), model.prompt(generator, "negative_")
    return model.run(
        pipe,
        size=size or (64 if model is Flux else 32),
        prompt=prompt,
        negative=negative if with_negative else {},
        true_cfg_scale=4.0 if with_negative else 1.0,
        num_inference_steps=num_steps,
        generator=generator,
        output_type="latent",
        callback_on_step_end=on_step_end,
    )
