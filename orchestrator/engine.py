"""The render engine: the denoising loop of one video, on one rank, in token space.

The same code runs in one process, under torchrun and in a Ray actor. Each rank holds its slice of the latents as
tokens from the first step to the last. A full round gathers them, runs the stock transformer and slices its
output again. A forecast round stays on the slice: a weighted sum of the history, the output head and the
solver's update, all without a word to another rank. Where the two guidance branches have ranks of their own, each
round ends with one exchange of velocities, 64 values a token; where the guided velocity itself is forecast, no
forecast round does.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from diffusers import UniPCMultistepScheduler, WanTransformer3DModel

from orchestrator.head import run_head
from orchestrator.render_state import GUIDED, Branch, RenderState, branches_of
from orchestrator.reports import RoundReport
from orchestrator.request import Request
from orchestrator.solver import Solver
from orchestrator.stopwatch import Stopwatch
from orchestrator.tokens import LatentShape
from parallel.token_group import TokenGroup
from spectrum import Features, Gram, History, Method, Round
from spectrum.adaptive import extended, first_plan, first_untrusted, next_full_step
from spectrum.forecasters.svd import principal_forecast

Observer = Callable[[str, int, torch.Tensor], None]
"""Told of the features of every full round: name of the history, step, this rank's slice."""


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
        self.observer: Observer | None = None
        self._transformer = transformer
        self._scheduler = scheduler
        self.group = token_group
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
        forecast = request.forecast
        plan = first_plan(request.num_steps) if forecast.is_adaptive else forecast.plan(request.num_steps)
        capacity = forecast.capacity(plan)
        embeds = {branch: prompt_embeds[branch] for branch in self.own_branches(request)}
        noise = shape.to_tokens(shape.draw_noise(request.seed))
        if request.rounded_noise:
            noise = noise.to(torch.bfloat16).to(noise.dtype)
        return RenderState(
            request=request,
            forecast=forecast,
            shape=shape,
            plan=plan,
            solver=Solver(
                self._scheduler, num_steps=request.num_steps, flow_shift=request.flow_shift, device=self.device
            ),
            prompt_embeds={
                branch: embed.to(self.device, self._transformer.dtype) for branch, embed in embeds.items()
            },
            histories={name: History(capacity) for name in _history_names(request, embeds)},
            gram=Gram(capacity),
            tokens=self.group.slice(noise).to(self.device),
        )

    @torch.no_grad()
    def run_segment(self, state: RenderState) -> tuple[RoundReport, ...]:
        """One full round and the forecast rounds after it. Advances `state`; returns what was run."""
        watch, first, error = Stopwatch(self.device), state.step, None
        is_fallback = first == state.fallback_step
        while state.step == first or (state.step < len(state.plan) and state.plan[state.step] is Round.FORECAST):
            with watch.lap():
                if state.plan[state.step] is Round.FULL:
                    velocity, error = self._full_round(state)
                else:
                    velocity = self._forecast_round(state)
                state.tokens = state.solver.advance(state.step, velocity, state.tokens)
                state.step += 1
        rounds = tuple(
            RoundReport(
                step=step,
                kind=state.plan[step],
                seconds=seconds,
                forecast_error=error if step == first else None,
                is_fallback=is_fallback and step == first,
            )
            for step, seconds in enumerate(watch.seconds(), start=first)
        )
        state.rounds.extend(rounds)
        return rounds

    def finish(self, state: RenderState) -> torch.Tensor:
        """The whole video's latents (1, C, F, H, W) in float32, on every rank."""
        return state.shape.to_latents(self.group.gather(state.tokens, state.shape.num_tokens))

    def own_branches(self, request: Request) -> tuple[Branch, ...]:
        """The branches of the request that this rank runs.

        Raises:
            ValueError: the layout has ranks for a branch that the request has not.
        """
        branches = branches_of(request)
        own = self.group.branch_index
        if own is None:
            return branches
        if len(branches) == 1:
            raise ValueError(f"guidance_scale={request.guidance_scale} runs one branch, the layout has ranks for two")
        return (branches[own],)

    def _full_round(self, state: RenderState) -> tuple[torch.Tensor, float | None]:
        """Run the stock transformer on this rank's branches; guided velocity tokens, and the forecast's error."""
        latents = self.finish(state).to(self._transformer.dtype)
        velocities, features = [], {}
        for branch in state.prompt_embeds:
            velocity, features[branch.value] = self._run_transformer(state, branch, latents)
            velocities.append(velocity)
        guided = self._guide(state, velocities)
        if state.forecast.features is Features.VELOCITY:
            features = {GUIDED: guided}
        if self.observer is not None:
            for name, of_history in features.items():
                self.observer(name, state.step, of_history)
        return guided, self._remember(state, features)

    def _run_transformer(
        self, state: RenderState, branch: Branch, latents_BCFHW: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Velocity tokens of this rank, and its slice of the last block's output."""
        with _output_of(self._transformer.blocks[-1]) as outputs, self._transformer.cache_context(branch.value):
            velocity = self._transformer(
                hidden_states=latents_BCFHW,
                timestep=state.solver.timestep(state.step),
                encoder_hidden_states=state.prompt_embeds[branch],
                return_dict=False,
            )[0]
        return self.group.slice(state.shape.to_tokens(velocity)), outputs[0]

    def _remember(self, state: RenderState, features: dict[str, torch.Tensor]) -> float | None:
        """Keep the features of a full round; the error of the forecast that would have been made instead.

        None where no forecast would have been made: at the first round, and where the full round before is not in the
        history, since none is that no forecast needs any more.

        With an error budget the next full round is decided here as well: from sums over all ranks and both branches,
        which have the same bits on every rank.
        """
        settings, step = state.forecast, state.step
        [steps] = {history.steps for history in state.histories.values()}
        is_current = steps[-1:] == tuple(one for one in state.plan.full_steps if one < step)[-1:] != ()
        is_remembered = state.plan.is_remembered(step)
        if settings.method is Method.NONE or not (is_current or is_remembered):
            return None
        products = torch.stack([state.histories[name].inner_products(one) for name, one in features.items()]).sum(0)
        products = self.group.sum(products, self.device)
        error = None
        if is_current and settings.method is not Method.SVD:  # not linear: the products do not say what it errs by
            weights_K = settings.weights(steps, step, num_steps=state.request.num_steps)
            error = state.gram.forecast_error(weights_K, products)
        if not is_remembered:
            return error
        state.gram.append(products)
        for name, one in features.items():
            state.histories[name].append(step, one)
        if settings.is_adaptive:
            self._decide(state, gap=step - steps[-1] if steps else 0, error=error)
        return error

    def _decide(self, state: RenderState, *, gap: int, error: float | None) -> None:
        """Put the next full round where the error budget allows it."""
        settings, step, num_steps = state.forecast, state.step, len(state.plan)
        assert settings.error_budget is not None
        end = next_full_step(
            step,
            gap=gap,
            error=error,
            num_steps=num_steps,
            budget=settings.error_budget,
            max_gap=settings.max_gap,
        )
        [steps] = {history.steps for history in state.histories.values()}
        trusted_until = first_untrusted(settings, state.gram, steps, end, num_steps)
        state.fallback_step = trusted_until if trusted_until < end else None
        state.plan = extended(state.plan, step, trusted_until)

    def _forecast_round(self, state: RenderState) -> torch.Tensor:
        """Guided velocity tokens of this rank, from the histories."""
        if GUIDED in state.histories:
            return self._forecast(state, GUIDED)
        timestep = state.solver.timestep(state.step)
        velocities = [
            run_head(self._transformer, self._forecast(state, branch.value), timestep)
            for branch in state.prompt_embeds
        ]
        return self._guide(state, velocities)

    def _forecast(self, state: RenderState, name: str) -> torch.Tensor:
        """The features of the step under way, of this rank's slice."""
        history, settings = state.histories[name], state.forecast
        weights_K = settings.weights(history.steps, state.step, num_steps=state.request.num_steps)
        forecast = history.forecast(weights_K)
        if settings.method is Method.SVD:
            return principal_forecast(forecast, history.snapshots[-1], rank=settings.rank)
        return forecast

    def _guide(self, state: RenderState, own: list[torch.Tensor]) -> torch.Tensor:
        """Both branches' velocities, combined by the guidance scale."""
        if not state.request.is_guided:
            return own[0]
        cond, uncond = own if self.group.branch_index is None else self.group.exchange_branches(own[0])
        return uncond + state.request.guidance_scale * (cond - uncond)


def _history_names(request: Request, branches: Iterable[Branch]) -> list[str]:
    """Of a rank that runs `branches`."""
    if request.forecast.features is Features.VELOCITY:
        return [GUIDED]
    return [branch.value for branch in branches]


@contextmanager
def _output_of(module: torch.nn.Module) -> Iterator[list[torch.Tensor]]:
    """Collect what `module` returns inside the block; under context parallelism, this rank's slice."""
    outputs: list[torch.Tensor] = []
    handle = module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()
