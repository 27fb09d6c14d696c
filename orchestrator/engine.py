"""The render engine: the denoising loop of one video, on one rank, in token space.

The same code runs in one process, under torchrun and in a Ray actor. Each rank holds its slice of the latents as
tokens from the first step to the last. A full round gathers them, runs the stock transformer and slices its
output again. A forecast round stays on the slice: a weighted sum of the history, the output head and the
solver's update, all without a word to another rank. Where the two guidance branches have ranks of their own, each
round ends with one exchange of velocities, 64 values a token.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import torch
from diffusers import UniPCMultistepScheduler, WanTransformer3DModel

from orchestrator.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from orchestrator.head import run_head
from orchestrator.reports import RoundReport
from orchestrator.request import Request
from orchestrator.solver import Solver
from orchestrator.stopwatch import Stopwatch
from orchestrator.tokens import LatentShape
from parallel.token_group import TokenGroup
from spectrum import History, Plan, Round


class Branch(StrEnum):
    """A pass of classifier-free guidance."""

    COND = "cond"
    UNCOND = "uncond"


def branches_of(request: Request) -> tuple[Branch, ...]:
    """The guidance branches of a request."""
    return (Branch.COND, Branch.UNCOND) if request.is_guided else (Branch.COND,)


@dataclass(kw_only=True, slots=True)
class RenderState:
    """Everything of one video on one rank. It belongs to that video and dies with it."""

    request: Request
    shape: LatentShape
    plan: Plan
    solver: Solver
    prompt_embeds: dict[Branch, torch.Tensor]
    """One for each branch that this rank runs, (1, text tokens, text width)."""
    histories: dict[Branch, History]
    tokens: torch.Tensor
    """This rank's slice of the latents, (1, tokens, values), float32."""
    step: int = 0
    """The next step to take."""
    rounds: list[RoundReport] = field(default_factory=list)

    @property
    def is_denoised(self) -> bool:
        """Whether every step has been taken."""
        return self.step == len(self.plan)


class Engine:
    """Renders latents with one transformer, one video at a time. Holds no state of any video."""

    def __init__(
        self,
        *,
        transformer: WanTransformer3DModel,
        scheduler: UniPCMultistepScheduler,
        token_group: TokenGroup,
        spatial_scale: int,
        temporal_scale: int,
    ) -> None:
        """`spatial_scale` and `temporal_scale` are the autoencoder's: pixels and frames behind one latent."""
        self._transformer = transformer
        self._scheduler = scheduler
        self._group = token_group
        self._spatial_scale = spatial_scale
        self._temporal_scale = temporal_scale

    @property
    def device(self) -> torch.device:
        """Where the transformer is."""
        device: torch.device = self._transformer.device
        return device

    def start(self, request: Request, prompt_embeds: dict[Branch, torch.Tensor]) -> RenderState:
        """The state before the first step.

        Args:
            request: what to render.
            prompt_embeds: for each branch of the request, (1, text tokens, text width). Of two branches a rank keeps
                its own, where the layout has given them ranks of their own.
        """
        config = self._transformer.config
        shape = LatentShape(
            channels=config.in_channels,
            frames=(request.num_frames - 1) // self._temporal_scale + 1,
            height=request.height // self._spatial_scale,
            width=request.width // self._spatial_scale,
            patch=tuple(config.patch_size),
        )
        plan = request.forecast.plan(request.num_steps)
        embeds = {branch: prompt_embeds[branch] for branch in self._own_branches(request)}
        noise = shape.to_tokens(shape.draw_noise(request.seed))
        return RenderState(
            request=request,
            shape=shape,
            plan=plan,
            solver=Solver(
                self._scheduler, num_steps=request.num_steps, flow_shift=request.flow_shift, device=self.device
            ),
            prompt_embeds={
                branch: embed.to(self.device, self._transformer.dtype) for branch, embed in embeds.items()
            },
            histories={branch: History(max(plan.num_snapshots, 1)) for branch in embeds},
            tokens=self._group.slice(noise).to(self.device),
        )

    def save(self, state: RenderState, path: Path) -> None:
        """Write all of this rank's state between two segments; see `orchestrator.checkpoint`."""
        write_checkpoint(
            path,
            Checkpoint(
                step=state.step,
                tokens=state.tokens,
                embeds={branch.value: embeds for branch, embeds in state.prompt_embeds.items()},
                history_steps={branch.value: history.steps for branch, history in state.histories.items()},
                snapshots={
                    branch.value: history.snapshots
                    for branch, history in state.histories.items()
                    if history.snapshots is not None
                },
                solver=state.solver.state(),
                rounds=tuple(state.rounds),
            ),
        )

    def load(self, path: Path, request: Request) -> RenderState:
        """The state that was saved for this request on this rank; the video goes on bit for bit.

        Raises:
            ValueError: the file is no checkpoint, or that of another request or layout.
        """
        saved = read_checkpoint(path)
        embeds = {Branch(branch): embeds for branch, embeds in saved.embeds.items()}
        if set(embeds) != set(self._own_branches(request)):
            raise ValueError(
                f"{path} holds the branches {', '.join(embeds)}, not those of this rank: another layout's"
            )
        state = self.start(request, embeds)
        if saved.tokens.shape != state.tokens.shape or not 0 <= saved.step <= len(state.plan):
            raise ValueError(
                f"{path} holds tokens of shape {tuple(saved.tokens.shape)} at step {saved.step}; this request on "
                f"this layout has {tuple(state.tokens.shape)} and {len(state.plan)} steps"
            )
        state.tokens = saved.tokens.to(self.device)
        state.step = saved.step
        state.rounds = list(saved.rounds)
        moved = {name: tensor.to(self.device) for name, tensor in saved.solver.tensors.items()}
        state.solver.restore(replace(saved.solver, tensors=moved))
        for branch, snapshots in saved.snapshots.items():
            for step, features in zip(saved.history_steps[branch], snapshots, strict=True):
                state.histories[Branch(branch)].append(step, features.to(self.device))
        return state

    @torch.no_grad()
    def run_segment(self, state: RenderState) -> tuple[RoundReport, ...]:
        """One full round and the forecast rounds after it. Advances `state`; returns what was run."""
        end = state.plan.segment_end(state.step)
        watch, first = Stopwatch(self.device), state.step
        while state.step < end:
            with watch.lap():
                velocity = self._guided_velocity(state)
                state.tokens = state.solver.advance(state.step, velocity, state.tokens)
                state.step += 1
        rounds = tuple(
            RoundReport(step=step, kind=state.plan[step], seconds=seconds)
            for step, seconds in enumerate(watch.seconds(), start=first)
        )
        state.rounds.extend(rounds)
        return rounds

    def finish(self, state: RenderState) -> torch.Tensor:
        """The whole video's latents (1, C, F, H, W) in float32, on every rank."""
        return state.shape.to_latents(self._group.gather(state.tokens, state.shape.num_tokens))

    def _own_branches(self, request: Request) -> tuple[Branch, ...]:
        """The branches of the request that this rank runs.

        Raises:
            ValueError: the layout has ranks for a branch that the request has not.
        """
        branches = branches_of(request)
        own = self._group.branch_index
        if own is None:
            return branches
        if len(branches) == 1:
            raise ValueError(f"guidance_scale={request.guidance_scale} runs one branch, the layout has ranks for two")
        return (branches[own],)

    def _guided_velocity(self, state: RenderState) -> torch.Tensor:
        """Velocity tokens of this rank, both branches combined by the guidance scale."""
        if state.plan[state.step] is Round.FULL:
            latents = self.finish(state).to(self._transformer.dtype)
            own = [self._full_round(state, branch, latents) for branch in state.prompt_embeds]
        else:
            own = [self._forecast_round(state, branch) for branch in state.prompt_embeds]
        if not state.request.is_guided:
            return own[0]
        cond, uncond = own if self._group.branch_index is None else self._group.exchange_branches(own[0])
        return uncond + state.request.guidance_scale * (cond - uncond)

    def _full_round(self, state: RenderState, branch: Branch, latents_BCFHW: torch.Tensor) -> torch.Tensor:
        """Run the stock transformer; keep its last block's output; velocity tokens of this rank."""
        with _output_of(self._transformer.blocks[-1]) as outputs, self._transformer.cache_context(branch.value):
            velocity = self._transformer(
                hidden_states=latents_BCFHW,
                timestep=state.solver.timestep(state.step),
                encoder_hidden_states=state.prompt_embeds[branch],
                return_dict=False,
            )[0]
        if state.plan.is_remembered(state.step):
            state.histories[branch].append(state.step, outputs[0])
        return self._group.slice(state.shape.to_tokens(velocity))

    def _forecast_round(self, state: RenderState, branch: Branch) -> torch.Tensor:
        """Forecast the last block's output from the history; velocity tokens of this rank."""
        history, step = state.histories[branch], state.step
        weights_K = state.request.forecast.weights(history.steps, step, num_steps=state.request.num_steps)
        return run_head(self._transformer, history.forecast(weights_K), state.solver.timestep(step))


@contextmanager
def _output_of(module: torch.nn.Module) -> Iterator[list[torch.Tensor]]:
    """Collect what `module` returns inside the block; under context parallelism, this rank's slice."""
    outputs: list[torch.Tensor] = []
    handle = module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()
