"""The demo model in this process, rendered with the product's own engine."""

from dataclasses import dataclass, replace
from time import process_time

import numpy as np
import torch
from numpy.typing import NDArray

from orchestrator.decode import decode_latents
from orchestrator.engine import Engine
from orchestrator.loading import load_scheduler, load_text_encoder, load_transformer, load_vae
from orchestrator.model_folder import model_fingerprint
from orchestrator.project import PROJECT
from orchestrator.render_state import Branch
from orchestrator.request import Request, content_hash
from parallel.apply import apply_sequence_parallel
from parallel.layout import Layout
from spectrum import ForecastSettings, Method
from tiny_wan.dataset import draw_clip

FOLDER = PROJECT / "tiny_wan" / "weights"
MAX_SEQUENCE_LENGTH = 24
BENCHMARK_SEED = 1009
"""Captions of the benchmarks: drawn apart from those of the training and of the model card, and never looked at by a
calibration or a choice of settings, which have the captions of `SELECTION_SEED`."""
SELECTION_SEED = 2003
"""Captions on which calibrations are made and thresholds, budgets and the hard regime were chosen."""


def fingerprint() -> str:
    """Of the model and how prompts are given to it, as a launch with this model has it."""
    return content_hash([model_fingerprint(FOLDER), MAX_SEQUENCE_LENGTH])


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
    """Encode, denoise and decode: seconds of the processor, which a busy machine does not lengthen."""
    num_full_rounds: float
    """A pass of all blocks on both branches is one; a fraction where not all blocks or branches run together."""
    forecast_errors: tuple[tuple[int, float], ...] = ()
    """(step, relative error) of the forecast that each full round took the place of, where there is one."""


class DemoModel:
    """The demo model, loaded once; `engine` is the product's own, on one rank."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        device = torch.device("cpu")
        transformer = load_transformer(FOLDER, device=device, dtype=dtype)
        self.engine = Engine(
            transformer=transformer,
            scheduler=load_scheduler(FOLDER),
            token_group=apply_sequence_parallel(transformer, Layout(), rank=0),
            spatial_scale=8,
            temporal_scale=4,
        )
        self._vae = load_vae(FOLDER, device=device)
        self._text = load_text_encoder(FOLDER, device=device, dtype=dtype, max_sequence_length=MAX_SEQUENCE_LENGTH)

    def embed(self, request: Request) -> dict[Branch, torch.Tensor]:
        """The request's texts as the transformer is given them."""
        return self._text.encode(request)

    def render(self, request: Request) -> Rendered:
        """One video from prompt to frames."""
        begin = process_time()
        state = self.engine.start(request, self.embed(request))
        while not state.is_denoised:
            self.engine.run_segment(state)
        frames = decode_latents(self._vae, self.engine.finish(state))
        return Rendered(
            frames=frames,
            seconds=process_time() - begin,
            num_full_rounds=state.plan.num_full,
            forecast_errors=tuple(
                (report.step, report.forecast_error) for report in state.rounds if report.forecast_error is not None
            ),
        )


def draw_requests(count: int, *, dataset_seed: int = BENCHMARK_SEED) -> list[Request]:
    """Requests of `count` captions drawn evenly, each with a seed of its own."""
    return [
        replace(REQUEST, prompt=draw_clip(dataset_seed, index).spec.caption, seed=index) for index in range(count)
    ]
