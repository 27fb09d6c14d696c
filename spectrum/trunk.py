"""The module that stands in for a transformer's blocks and forecasts their output at most steps."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from spectrum.history import History
from spectrum.plan import Plan, Round
from spectrum.settings import ForecastSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class TrunkCall:
    """Where in the denoising loop one forward of the transformer stands."""

    branch: str
    """Name of the guidance branch, such as "cond" or "uncond"; each has its own history."""
    step: int
    """Step of this forward, from 0."""
    num_steps: int
    """Steps of this video."""


@dataclass(kw_only=True, slots=True)
class _BranchState:
    plan: Plan
    history: History
    rounds: list[Round] = field(default_factory=list)


class Trunk(nn.Module):
    """All blocks of a transformer as one module: run in full rounds, forecast in the others.

    `transformer.blocks = nn.ModuleList([trunk])` leaves the transformer's own `forward` as it is: it sees one
    block, whose output is the hidden state (batch, tokens, channels) that the output head takes. A round that
    forecasts runs no block.

    Whoever drives the trunk sets `call` before each forward (`spectrum.diffusers_hook` does it for diffusers
    pipelines). With `call` None, outside of any denoising loop, the blocks simply run.
    """

    def __init__(self, blocks: Iterable[nn.Module], settings: ForecastSettings) -> None:
        super().__init__()
        self.blocks = blocks if isinstance(blocks, nn.ModuleList) else nn.ModuleList(blocks)
        self.settings = settings
        self.call: TrunkCall | None = None
        self._branches: dict[str, _BranchState] = {}
        self._last_rounds: dict[str, tuple[Round, ...]] = {}

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The blocks' output for `hidden_states`, shape (batch, tokens, channels): computed or forecast.

        The first argument is named as diffusers' blocks name it, since context parallelism finds it by name.
        """
        if self.call is None:
            return self._run_blocks(hidden_states, *args, **kwargs)
        state, step = self._state_of(self.call), self.call.step
        kind = state.plan[step]
        state.rounds.append(kind)
        if kind is Round.FORECAST:
            weights_K = self.settings.weights(state.history.steps, step, num_steps=self.call.num_steps)
            return state.history.forecast(weights_K)
        features = self._run_blocks(hidden_states, *args, **kwargs)
        if state.plan.is_remembered(step):
            state.history.append(step, features)
        return features

    def reset(self) -> None:
        """Forget every history, as at the start of a video."""
        if self._branches:
            self._last_rounds = {branch: tuple(state.rounds) for branch, state in self._branches.items()}
        self._branches.clear()
        self.call = None

    def rounds(self, branch: str) -> tuple[Round, ...]:
        """The rounds that `branch` has gone through: of the video under way, or else of the last one."""
        if self._branches:
            return tuple(self._branches[branch].rounds) if branch in self._branches else ()
        return self._last_rounds.get(branch, ())

    def _run_blocks(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        for block in self.blocks:
            hidden_states = block(hidden_states, *args, **kwargs)
        return hidden_states

    def _state_of(self, call: TrunkCall) -> _BranchState:
        """The branch's state; a new one when a video begins, also after one that was broken off."""
        state = self._branches.get(call.branch)
        if state is None or call.step == 0:
            plan = self.settings.plan(call.num_steps)
            history = History(max(plan.num_snapshots, 1))
            state = self._branches[call.branch] = _BranchState(plan=plan, history=history)
        if not call.step == len(state.rounds) < call.num_steps == len(state.plan):
            expected = f"step {len(state.rounds)} of {len(state.plan)}"
            raise ValueError(
                f"branch {call.branch!r} is at {expected} but was called for step {call.step} of {call.num_steps}: "
                "a forecast needs every step of a video, in order, from step 0"
            )
        return state
