"""The demo model in this process, rendered with the product's own engine."""

from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from orchestrator.decode import decode_latents
from orchestrator.engine import Engine
from orchestrator.loading import load_scheduler, load_text_encoder, load_transformer, load_vae
from orchestrator.project import PROJECT
from orchestrator.request import Request
from parallel.apply import apply_sequence_parallel
from parallel.layout import Layout
from spectrum import ForecastSettings, Method
from tiny_wan.dataset import draw_clip

FOLDER = PROJECT / "tiny_wan" / "weights"
MAX_SEQUENCE_LENGTH = 24
BENCHMARK_SEED = 1009
"""Captions of the benchmarks: drawn apart from those of the training and of the model card."""

REQUEST = Request(
    prompt="",
    negative_prompt="",
    seed=0,
    height=96,
    width=96,
    num_frames=17,
    fps=8,
    num_steps=50,
    guidance_scale=5.0,
    flow_shift=3.0,
    forecast=ForecastSettings(method=Method.NONE),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """A video, and what it took."""

    frames: NDArray[np.uint8]
    """(frames, height, width, 3)."""
    seconds: float
    """Encode, denoise and decode."""
    num_full_rounds: int


class DemoModel:
    """The demo model, loaded once."""

    def __init__(self) -> None:
        device = torch.device("cpu")
        transformer = load_transformer(FOLDER, device=device, dtype=torch.float32)
        self._engine = Engine(
            transformer=transformer,
            scheduler=load_scheduler(FOLDER),
            token_group=apply_sequence_parallel(transformer, Layout(), rank=0),
            spatial_scale=8,
            temporal_scale=4,
        )
        self._vae = load_vae(FOLDER, device=device)
        self._text = load_text_encoder(
            FOLDER, device=device, dtype=torch.float32, max_sequence_length=MAX_SEQUENCE_LENGTH
        )

    def render(self, request: Request) -> Rendered:
        """One video from prompt to frames."""
        begin = perf_counter()
        state = self._engine.start(request, self._text.encode(request))
        while not state.is_denoised:
            self._engine.run_segment(state)
        frames = decode_latents(self._vae, self._engine.finish(state))
        return Rendered(frames=frames, seconds=perf_counter() - begin, num_full_rounds=state.plan.num_full)


def draw_requests(count: int) -> list[Request]:
    """Requests of `count` captions drawn evenly, each with a seed of its own."""
    return [
        replace(REQUEST, prompt=draw_clip(BENCHMARK_SEED, index).spec.caption, seed=index) for index in range(count)
    ]
