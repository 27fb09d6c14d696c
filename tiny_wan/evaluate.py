"""Render drawn captions with the stock WanPipeline and mark what comes out.

Prints the marks of the rendered clips against their own captions and against shuffled ones, the marks of true clips
that only went through the autoencoder (the ceiling), the autoencoder's reconstruction error on held-out clips, and
the scorer's marks on true clips.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers import WanPipeline
from numpy.typing import NDArray

from tiny_wan.architecture import HEIGHT, MAX_SEQUENCE_LENGTH, NUM_FRAMES, WIDTH
from tiny_wan.contact_sheet import contact_sheet
from tiny_wan.dataset import EVALUATION_SEED, HELD_OUT_SEED, draw_clip
from tiny_wan.export import WEIGHTS
from tiny_wan.scorer import score

Frames = NDArray[np.generic]
GUIDANCE: Final = 5.0
STEPS: Final = 50
BATCH: Final = 4
FIRST_SEED: Final = 1000
"""Seed of the first clip's initial noise; clip i has the seed FIRST_SEED + i."""


def load_pipeline(weights: Path = WEIGHTS) -> Any:
    """The stock pipeline with the weights of a folder."""
    pipeline = WanPipeline.from_pretrained(str(weights), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def render(pipeline: Any, captions: Sequence[str], *, num_steps: int = STEPS, first_seed: int = FIRST_SEED) -> Frames:
    """Render captions.

    Returns:
        Pixels of (captions, frames, height, width, 3) in 0..1.
    """
    batches = []
    for first in range(0, len(captions), BATCH):
        prompts = list(captions[first : first + BATCH])
        seeds = range(first_seed + first, first_seed + first + len(prompts))
        output = pipeline(
            prompt=prompts,
            height=HEIGHT,
            width=WIDTH,
            num_frames=NUM_FRAMES,
            num_inference_steps=num_steps,
            guidance_scale=GUIDANCE,
            max_sequence_length=MAX_SEQUENCE_LENGTH,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="np",
        )
        batches.append(np.asarray(output.frames))
    return np.concatenate(batches)


def average_marks(videos: Sequence[Frames] | Frames, captions: Sequence[str]) -> dict[str, float]:
    """Part of the clips that get each attribute right, and all of them at once (`everything`), 0..1."""
    marks = [score(video, caption) for video, caption in zip(videos, captions, strict=True)]
    names = list(asdict(marks[0]))
    averages = {name: float(np.mean([getattr(mark, name) for mark in marks])) for name in names}
    return averages | {"everything": float(np.mean([mark.everything for mark in marks]))}


@torch.no_grad()
def reconstruct(vae: Any, videos: Frames) -> Frames:
    """Clips of (clips, frames, height, width, 3) in 0..1 through the autoencoder's own encode and decode."""
    outputs = []
    for video in videos:
        pixels = torch.from_numpy(video.astype(np.float32)).movedim(-1, 0).unsqueeze(0) * 2.0 - 1.0
        decoded = vae.decode(vae.encode(pixels).latent_dist.mode()).sample
        outputs.append(((decoded[0].movedim(0, -1) + 1.0) / 2.0).numpy())
    return np.stack(outputs)


def psnr(videos: Frames, references: Frames) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of each clip in decibels, for pixels in 0..1."""
    error = np.square(videos.astype(np.float64) - references.astype(np.float64))
    return np.asarray(-10.0 * np.log10(error.reshape(len(error), -1).mean(axis=1)), dtype=np.float64)


def evaluate(pipeline: Any, num_captions: int, num_steps: int = STEPS) -> tuple[dict[str, Any], Frames, list[str]]:
    """Every figure of the model card, with the rendered clips and their captions."""
    captions = [draw_clip(EVALUATION_SEED, i).spec.caption for i in range(num_captions)]
    started = time.monotonic()
    videos = render(pipeline, captions, num_steps=num_steps)
    seconds = time.monotonic() - started
    held_out = [draw_clip(HELD_OUT_SEED, i) for i in range(num_captions)]
    truth = np.stack([clip.frames() for clip in held_out])
    truth_captions = [clip.spec.caption for clip in held_out]
    through = reconstruct(pipeline.vae, truth)
    decibels = psnr(through, truth)
    figures = {
        "captions": num_captions,
        "steps": num_steps,
        "guidance_scale": GUIDANCE,
        "rendered": average_marks(videos, captions),
        "shuffled_captions": average_marks(videos, captions[1:] + captions[:1]),
        "ceiling": average_marks(through, truth_captions),
        "scorer_on_true_clips": average_marks(truth, truth_captions),
        "reconstruction_psnr_db": {"mean": float(decibels.mean()), "minimum": float(decibels.min())},
        "seconds_per_video": seconds / num_captions,
    }
    return figures, videos, captions


def print_figures(figures: dict[str, Any]) -> None:
    """The figures as a table."""
    rows = ("rendered", "shuffled_captions", "ceiling", "scorer_on_true_clips")
    names = list(figures["rendered"])
    lines = [f"{'':22}" + "".join(f"{name:>12}" for name in names)]
    lines += [f"{row:22}" + "".join(f"{figures[row][name]:12.3f}" for name in names) for row in rows]
    decibels = figures["reconstruction_psnr_db"]
    lines.append(f"reconstruction {decibels['mean']:.2f} dB PSNR (worst clip {decibels['minimum']:.2f})")
    lines.append(f"{figures['captions']} captions, {figures['steps']} steps, guidance {figures['guidance_scale']}")
    lines.append(f"{figures['seconds_per_video']:.2f} seconds a video")
    print("\n".join(lines))  # noqa: T201


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tiny_wan.evaluate", description=__doc__)
    parser.add_argument("--captions", type=int, default=96, help="captions to draw (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=STEPS, help="denoising steps (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="8 captions, 10 steps: to try the program")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--sheet", type=Path, help="also write a picture of the first 12 clips to this file")
    options = parser.parse_args(arguments)
    num_captions, num_steps = (8, 10) if options.quick else (options.captions, options.steps)
    figures, videos, captions = evaluate(load_pipeline(options.weights), num_captions, num_steps)
    print_figures(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.sheet:
        contact_sheet(list(videos[:12]), captions[:12]).quantize(128).save(options.sheet, optimize=True)


if __name__ == "__main__":
    main()
