"""Take a video out of an engine between two segments, and put it back: into the same gang, or into another one."""

from dataclasses import replace

import torch

from orchestrator.checkpoint import Checkpoint
from orchestrator.engine import Engine
from orchestrator.render_state import Branch, RenderState
from orchestrator.request import Request
from orchestrator.solver import SolverState
from spectrum import ForecastSettings, Gram, Method, Plan, PlanShape

WARM_UP = 2
"""Full rounds that a forecaster which has lost its history begins with again."""


def freeze(state: RenderState) -> Checkpoint:
    """All of this rank's state: thawed on the same rank of the same layout, the video goes on bit for bit."""
    stored = {name: history.stored() for name, history in state.histories.items()}
    return Checkpoint(
        step=state.step,
        tokens=state.tokens,
        embeds={branch.value: embeds for branch, embeds in state.prompt_embeds.items()},
        history_steps={name: steps for name, (steps, _) in stored.items()},
        snapshots={name: snapshots for name, (_, snapshots) in stored.items() if snapshots is not None},
        gram=state.gram.matrix,
        full_steps=state.plan.full_steps,
        fallback_step=state.fallback_step,
        solver=state.solver.state(),
        has_stand_in=state.forecast != state.request.forecast,
        rounds=tuple(state.rounds),
        resumed=tuple(state.resumed),
    )


def freeze_latents(engine: Engine, state: RenderState) -> Checkpoint:
    """The whole video's latents and solver, without histories: small, and any layout can thaw it.

    All ranks call this together; the tokens of all of them are gathered on each.
    """

    def whole(tokens: torch.Tensor) -> torch.Tensor:
        return engine.group.gather(tokens, state.shape.num_tokens)

    frozen = freeze(state)
    tensors = {name: whole(tensor) for name, tensor in sorted(frozen.solver.tensors.items())}
    return replace(
        frozen,
        tokens=whole(state.tokens),
        embeds={},
        history_steps={},
        snapshots={},
        gram=torch.zeros(0, 0, dtype=torch.float64),
        solver=replace(frozen.solver, tensors=tensors),
    )


def thaw(engine: Engine, frozen: Checkpoint, request: Request) -> RenderState:
    """The state that `freeze` took from this rank.

    Raises:
        ValueError: it is that of another request or layout.
    """
    embeds = {Branch(branch): embeds for branch, embeds in frozen.embeds.items()}
    if set(embeds) != set(engine.own_branches(request)):
        raise ValueError(f"the checkpoint holds the branches {', '.join(embeds)}, not those of this rank")
    state = engine.start(request, embeds)
    _take_over(engine, state, frozen, frozen.tokens, frozen.solver)
    [capacity] = {history.capacity for history in state.histories.values()}
    for name, snapshots in frozen.snapshots.items():
        if name not in state.histories:
            raise ValueError(f"the checkpoint holds a history {name}, the request has {', '.join(state.histories)}")
        state.histories[name].restore(frozen.history_steps[name], snapshots.to(engine.device))
    state.gram = Gram(capacity, frozen.gram)
    state.plan = Plan.from_full_steps(len(state.plan), frozen.full_steps)
    if frozen.has_stand_in:
        state.forecast = _without_history(request.forecast)
    state.fallback_step = frozen.fallback_step
    state.resumed.append(f"step {frozen.step} (full)")
    return state


def thaw_latents(
    engine: Engine, frozen: Checkpoint, request: Request, embeds: dict[Branch, torch.Tensor]
) -> RenderState:
    """The state that `freeze_latents` took, on whatever layout; the forecaster begins again with full rounds.

    Raises:
        ValueError: it is that of another request.
    """
    state = engine.start(request, embeds)
    tensors = {name: engine.group.slice(tensor) for name, tensor in frozen.solver.tensors.items()}
    _take_over(engine, state, frozen, engine.group.slice(frozen.tokens), replace(frozen.solver, tensors=tensors))
    num_steps = len(state.plan)
    again = range(frozen.step, min(frozen.step + WARM_UP, num_steps))
    steps = {one for one in frozen.full_steps if one < frozen.step or one in state.plan.full_steps} | set(again)
    state.plan = Plan.from_full_steps(num_steps, sorted(steps))
    state.forecast = _without_history(request.forecast)
    state.resumed.append(f"step {frozen.step} (latents)")
    return state


def _take_over(
    engine: Engine, state: RenderState, frozen: Checkpoint, tokens: torch.Tensor, solver: SolverState
) -> None:
    if tokens.shape != state.tokens.shape or not 0 <= frozen.step <= len(state.plan):
        raise ValueError(
            f"the checkpoint holds tokens of shape {tuple(tokens.shape)} at step {frozen.step}; this request on this "
            f"layout has {tuple(state.tokens.shape)} and {len(state.plan)} steps"
        )
    state.tokens = tokens.to(engine.device)
    state.step = frozen.step
    state.rounds = list(frozen.rounds)
    state.resumed = list(frozen.resumed)
    moved = {name: tensor.to(engine.device) for name, tensor in solver.tensors.items()}
    state.solver.restore(replace(solver, tensors=moved))


def _without_history(forecast: ForecastSettings) -> ForecastSettings:
    """Weights that were calibrated for a plan's own history mean nothing for another: a damped line instead."""
    if forecast.method is not Method.CALIBRATED:
        return forecast
    return replace(forecast, method=Method.DAMPED, plan_shape=PlanShape.CALIBRATED)
