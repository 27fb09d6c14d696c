"""What each rank of a gang does for `test_apply_parallel.py`; see `tests/parallel/gang.py`."""

from contextlib import suppress

import torch
from diffusers import UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel

from parallel.apply import apply_sequence_parallel
from parallel.layout import Layout
from spectrum import ForecastSettings, Method, apply_spectrum, remove_spectrum

SETTINGS = ForecastSettings(warmup_steps=2)
SVD = ForecastSettings(method=Method.SVD, warmup_steps=2, rank=4)
NUM_STEPS = 12
TEXT_DIM = 16


def make_pipe() -> WanPipeline:
    torch.manual_seed(0)
    transformer = WanTransformer3DModel(
        num_attention_heads=4,
        attention_head_dim=12,
        text_dim=TEXT_DIM,
        freq_dim=32,
        ffn_dim=64,
        num_layers=3,
        rope_max_seq_len=32,
    ).eval()
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    pipe = WanPipeline(tokenizer=None, text_encoder=None, vae=None, scheduler=scheduler, transformer=transformer)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def render(pipe: WanPipeline, *, break_off_at: int | None = None) -> torch.Tensor:
    def on_step_end(pipe, step, timestep, tensors):
        if step == break_off_at:
            raise InterruptedError
        return tensors

    generator = torch.Generator().manual_seed(1)
    embeds = torch.randn(2, 1, 6, TEXT_DIM, generator=generator)
    return pipe(
        prompt_embeds=embeds[0],
        negative_prompt_embeds=embeds[1],
        height=32,
        width=32,
        num_frames=5,
        num_inference_steps=NUM_STEPS,
        generator=generator,
        output_type="latent",
        callback_on_step_end=on_step_end,
    ).frames


def render_in_every_order(rank: int, world_size: int) -> dict:
    """Latents, tokens of the features kept, and forwards of the blocks, by what was applied first."""
    results = {}
    for order in ("before", "after"):
        pipe = make_pipe()
        blocks = list(pipe.transformer.blocks)
        if order == "before":
            trunk = apply_spectrum(pipe.transformer, SETTINGS)
        apply_sequence_parallel(pipe.transformer, Layout(ulysses=world_size), rank=rank)
        if order == "after":
            trunk = apply_spectrum(pipe.transformer, SETTINGS)
        ran, lengths = [], set()
        blocks[-1].register_forward_hook(lambda *_, ran=ran: ran.append(1))
        trunk.register_forward_hook(lambda *hooked, lengths=lengths: lengths.add(hooked[2].shape[1]))
        forecast = render(pipe)
        num_forwards = len(ran)
        with suppress(InterruptedError):
            render(pipe, break_off_at=4)
        again = render(pipe)
        remove_spectrum(pipe.transformer)
        assert list(pipe.transformer.blocks) == blocks
        results[order] = {
            "forecast": forecast,
            "again": again,
            "removed": render(pipe),
            "num_forwards": num_forwards,
            "lengths": lengths,
        }
    return results


def render_with_svd_in_every_order(rank: int, world_size: int) -> dict:
    """By what was applied first: what it was refused with, in applying it and in rendering, and what came of it."""
    results = {}
    for order in ("before", "after"):
        pipe = make_pipe()
        blocks = pipe.transformer.blocks
        result = results[order] = {"at_apply": None, "at_render": None, "latents": None}
        try:
            if order == "before":
                apply_spectrum(pipe.transformer, SVD)
            apply_sequence_parallel(pipe.transformer, Layout(ulysses=world_size), rank=rank)
            if order == "after":
                apply_spectrum(pipe.transformer, SVD)
        except ValueError as error:
            result["at_apply"] = str(error)
            result["is_untouched"] = pipe.transformer.blocks is blocks
            continue
        ran = []
        blocks[0].register_forward_hook(lambda *_, ran=ran: ran.append(1))
        try:
            result["latents"] = render(pipe)
        except ValueError as error:
            result["at_render"] = str(error)
        result["num_forwards"] = len(ran)
    return results
