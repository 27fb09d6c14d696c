"""The stages around the denoising loop: the text encoder and the autoencoder's decoder."""

from importlib.util import find_spec
from itertools import product

import torch

from benchmarks.wan_measure import free_memory, time_calls, watch_memory
from benchmarks.wan_models import build_text_encoder, build_vae
from benchmarks.wan_report import describe
from benchmarks.wan_session import Session
from benchmarks.wan_shapes import latent_shape

_DECODE_SECONDS = 20.0
"""Of 81 frames at 480p in float32 with tiles: a guess, on the high side, for predictions alone."""
_PIXELS_480P = 480 * 832 * 81


@torch.no_grad()
def measure_decode(session: Session) -> None:
    """Seconds and memory of `AutoencoderKLWan.decode`, in float32 and bfloat16, whole and in tiles.

    float32 is as torch has it by default, with convolutions in TF32 on a GPU. Each is one decode after one of two
    latent frames, which makes every operator known. Running out of memory is a result.
    """
    vae = build_vae(session.model, device=session.device)
    shape = latent_shape(session.size)
    latents = shape.draw_noise(0).to(session.device)
    for dtype, is_tiled in product((torch.float32, torch.bfloat16), (False, True)):
        name = f"{str(dtype).removeprefix('torch.')}, {'tiled' if is_tiled else 'whole'}"
        if not session.deadline.allows(f"decode, {name}", predict_decode(session)):
            continue
        vae.to(dtype)
        if is_tiled:
            vae.enable_tiling()
        else:
            vae.disable_tiling()
        try:
            with watch_memory(session.device) as memory:
                vae.decode(latents[:, :, :2].to(dtype), return_dict=False)
                [seconds] = time_calls(
                    lambda: vae.decode(latents.to(dtype), return_dict=False),  # noqa: B023 - called before the next dtype
                    device=session.device,
                    repeats=1,
                    warmups=0,
                )
        except RuntimeError as error:  # out of memory, or a size that an operator does not take
            session.report.add("decode", name, {"error": describe(error)}, f"{name}: {describe(error)}")
        else:
            session.report.add(
                "decode",
                name,
                {"seconds": seconds, "peak_bytes": memory.peak, "added_bytes": memory.added},
                f"{name}: {seconds:.3f} s; {memory}",
            )
            if dtype is torch.float32 and not is_tiled:
                session.stages["decode"] = seconds
        free_memory(session.device)


def predict_decode(session: Session) -> float:
    """Seconds of one decode, roughly."""
    return _DECODE_SECONDS * session.size.num_pixels / _PIXELS_480P


@torch.no_grad()
def measure_text(session: Session) -> None:
    """Seconds of the text encoder for one prompt, padded to the model's number of tokens."""
    if find_spec("transformers") is None:
        session.report.skip("text", "transformers is not installed")
        return
    encoder = build_text_encoder(session.model, device=session.device, dtype=torch.bfloat16)
    shape = (1, session.model.transformer.num_text_tokens)
    tokens = torch.randint(1, encoder.config.vocab_size, shape, device=session.device)
    mask = torch.ones_like(tokens)
    with watch_memory(session.device) as memory:
        seconds = min(
            time_calls(lambda: encoder(tokens, mask), device=session.device, repeats=1 if session.is_quick else 5)
        )
    session.stages["text"] = 2 * seconds  # the prompt and the negative prompt
    session.report.add(
        "text",
        "prompt",
        {"seconds": seconds, "tokens": shape[1], "peak_bytes": memory.peak},
        f"a prompt of {shape[1]} tokens: {seconds:.4f} s; {memory}",
    )
