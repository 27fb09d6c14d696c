"""What the parts of one run share: the model on its device, how it is run, and what is known of its speed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

import torch

from benchmarks.wan_measure import synchronize
from benchmarks.wan_models import build_scheduler, build_transformer
from benchmarks.wan_report import Deadline, Report
from benchmarks.wan_shapes import SPATIAL_SCALE, TEMPORAL_SCALE, ModelShape, flow_shift, latent_shape
from orchestrator.engine import Engine
from orchestrator.render_state import Branch, RenderState
from orchestrator.request import Request
from parallel.layout import Layout
from parallel.token_group import TokenGroup
from parallel.wan_shapes import VideoSize, pass_flops
from spectrum import ForecastSettings, Method

NUM_STEPS = 50
GUIDANCE_SCALE = 5.0
NATIVE = "native"
_ASSUMED_SHARE = 0.4
"""Of the matrix rate, reached by a pass: for predictions while none has been measured."""
_ASSUMED_RATE = {"cuda": 500e12, "cpu": 1e9}


@dataclass(frozen=True, slots=True)
class Mode:
    """How the transformer is run."""

    attention: str = NATIVE
    """diffusers' name of the attention backend."""
    compiled: bool = False
    """Whether the blocks are compiled."""

    def __str__(self) -> str:
        return f"{self.attention} attention, {'compiled' if self.compiled else 'eager'}"


class Wan:
    """A transformer with random weights on the device, and the engine that renders with it, as one rank does."""

    def __init__(self, shape: ModelShape, size: VideoSize, *, device: torch.device) -> None:
        self.size = size
        self.shape = shape.transformer
        self._is_compiled = False
        self.device = device
        self.transformer = build_transformer(shape.transformer, device=device, dtype=torch.bfloat16)
        self.latent_shape = latent_shape(size)
        self.scheduler = build_scheduler(flow_shift(size))
        self.engine = Engine(
            transformer=self.transformer,
            scheduler=self.scheduler,
            token_group=TokenGroup(layout=Layout(), rank=0),
            spatial_scale=SPATIAL_SCALE,
            temporal_scale=TEMPORAL_SCALE,
        )
        generator = torch.Generator().manual_seed(0)
        self.prompt_embeds = {
            branch: torch.randn(1, self.shape.num_text_tokens, self.shape.text_width, generator=generator).to(
                device, torch.bfloat16
            )
            for branch in (Branch.COND, Branch.UNCOND)
        }

    def start(self, settings: ForecastSettings) -> RenderState:
        """A video before its first step."""
        request = Request(
            prompt="",
            negative_prompt="",
            seed=0,
            height=self.size.height,
            width=self.size.width,
            num_frames=self.size.num_frames,
            fps=16,
            num_steps=NUM_STEPS,
            guidance_scale=GUIDANCE_SCALE,
            flow_shift=flow_shift(self.size),
            forecast=settings,
        )
        return self.engine.start(request, self.prompt_embeds)

    @contextmanager
    def running(self, mode: Mode) -> Iterator[None]:
        """Inside the block the transformer is run so. Compiling happens at the first forward, once."""
        self.transformer.set_attention_backend(mode.attention)
        if mode.compiled and not self._is_compiled:
            # On a CPU the tests want to see that it is done, not wait for C++ to be compiled.
            backend = "inductor" if self.device.type == "cuda" else "eager"
            self.transformer.compile_repeated_blocks(dynamic=False, backend=backend)
            self._is_compiled = True
        with torch.compiler.set_stance("default" if mode.compiled else "force_eager"):
            yield

    @torch.no_grad()
    def run_pass(self) -> torch.Tensor:
        """One pass of the conditional branch; the velocity."""
        latents = self.latent_shape.draw_noise(0).to(self.device, torch.bfloat16)
        velocity: torch.Tensor = self.transformer(
            hidden_states=latents,
            timestep=torch.tensor([500.0], device=self.device),
            encoder_hidden_states=self.prompt_embeds[Branch.COND],
            return_dict=False,
        )[0]
        return velocity

    def run_full_rounds(self, count: int) -> tuple[list[float], torch.Tensor]:
        """Seconds of each of the first `count` rounds of a video, all full; and its tokens after them."""
        state = self.start(ForecastSettings(method=Method.NONE))
        seconds = [report.seconds for _ in range(count) for report in self.engine.run_segment(state)]
        return seconds, state.tokens


@dataclass(kw_only=True)
class Session:
    """One run of the benchmark."""

    model: ModelShape
    size: VideoSize
    device: torch.device
    is_quick: bool
    mode: Mode
    """How rounds and renders are run, beside the way they are run by default."""
    full_rounds: tuple[int, ...]
    """Which whole renders are made, by their number of full rounds."""
    report: Report
    deadline: Deadline
    matmul_rate: float | None = None
    """Operations a second, measured."""
    passes: dict[Mode, float] = field(default_factory=dict)
    """Measured seconds of one pass."""
    stages: dict[str, float] = field(default_factory=dict)
    """Measured seconds of the stages around the denoising loop."""
    _wan: Wan | None = None

    @property
    def wan(self) -> Wan:
        """The transformer and its engine, built at the first use."""
        if self._wan is None:
            begin = perf_counter()
            self._wan = Wan(self.model, self.size, device=self.device)
            synchronize(self.device)
            parameters = sum(parameter.numel() for parameter in self._wan.transformer.parameters())
            self.report.line(f"built {parameters / 1e9:.2f} G parameters in {perf_counter() - begin:.1f} s")
        return self._wan

    @property
    def num_tokens(self) -> int:
        """Tokens of one video."""
        return self.size.num_tokens

    @property
    def pass_flops(self) -> float:
        """Operations of one pass."""
        return pass_flops(self.model.transformer, self.num_tokens).total

    @property
    def floor_seconds(self) -> float | None:
        """The least that a full round, two passes, can take at the measured matrix rate."""
        return None if self.matmul_rate is None else 2 * self.pass_flops / self.matmul_rate

    def predict_pass(self, mode: Mode | None = None) -> float:
        """Seconds of one pass: measured, of another mode if need be; else from the arithmetic."""
        if mode in self.passes:
            return self.passes[mode]
        if self.passes:
            return max(self.passes.values())
        rate = self.matmul_rate or _ASSUMED_RATE[self.device.type]
        return self.pass_flops / (rate * _ASSUMED_SHARE)

    def predict_build(self) -> float:
        """Seconds until the transformer stands on the device, if it does not yet."""
        return 0.0 if self._wan is not None else 1.0 if self.device.type == "cpu" else 20.0

    def learn_rounds(self, mode: Mode, seconds: list[float]) -> None:
        """Remember measured full rounds for predictions."""
        self.passes[mode] = median(seconds) / 2
