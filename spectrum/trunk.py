"""The module that stands in for a transformer's blocks and forecasts their output at most steps."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from spectrum.forecasters.svd import principal_forecast
from spectrum.history import History
from spectrum.plan import Plan, Round
from spectrum.settings import Features, ForecastSettings, Method


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


Streams = tuple[torch.Tensor, torch.Tensor]
"""What a block of two streams returns: the hidden states of the image and of the text, or the other way round."""


class Trunk(nn.Module):
    """All blocks of a transformer as one module: run in full rounds, forecast in the others.

    `transformer.blocks = nn.ModuleList([trunk])` leaves the transformer's own `forward` as it is: it sees one
    block, whose output is the hidden state (batch, tokens, channels) that the output head takes. A round that
    forecasts runs no block.

    Blocks of two streams, image and text, take the text's `encoder_hidden_states` after the image's hidden states and
    return both. The forecast is of the image's; the text's, which nothing needs after the last block, pass unchanged.

    Whoever drives the trunk sets `call` before each forward (`spectrum.diffusers_hook` does it for diffusers
    pipelines). With `call` None, outside of any denoising loop, the blocks simply run.
    """

    def __init__(
        self, blocks: Iterable[nn.Module], settings: ForecastSettings, *, hidden_index: int | None = None
    ) -> None:
        """A trunk of `blocks`, in the order in which they run.

        Args:
            blocks: all called with the same arguments but for the hidden states.
            settings: forecaster and plan.
            hidden_index: where the image's hidden states stand in the pair that a block of two streams returns; None
                for blocks that return the hidden states alone.
        """
        if settings.features is not Features.HIDDEN or settings.is_adaptive:
            raise ValueError(
                f"features={settings.features} with error_budget={settings.error_budget} needs a render engine: a "
                "trunk in a pipeline forecasts hidden states on a fixed plan: features=hidden, error_budget=None"
            )
        super().__init__()
        self.blocks = blocks if isinstance(blocks, nn.ModuleList) else nn.ModuleList(blocks)
        self.settings = settings
        self.hidden_index = hidden_index
        self.stands_in_for: dict[str, nn.ModuleList] = {}
        self.call: TrunkCall | None = None
        self._branches: dict[str, _BranchState] = {}
        self._last_rounds: dict[str, tuple[Round, ...]] = {}

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor | Streams:
        """The blocks' output for `hidden_states`, shape (batch, tokens, channels): computed or forecast.

        The first argument is named as diffusers' blocks name it, since context parallelism finds it by name.
        """
        if self.call is None:
            return self._run_blocks(hidden_states, *args, **kwargs)
        state, step = self._state_of(self.call), self.call.step
        kind, is_needed_later = state.plan[step], state.plan.is_remembered(step)
        state.rounds.append(kind)
        if kind is Round.FORECAST:
            output = self._with_text(self._forecast(state.history, self.call), *args, **kwargs)
        else:
            output = self._run_blocks(hidden_states, *args, **kwargs)
            if is_needed_later:
                state.history.append(step, self._hidden_of(output))
        if not is_needed_later:
            state.history = History(1)  # its memory would be missing while the pipeline decodes
        return output

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

    def _forecast(self, history: History, call: TrunkCall) -> torch.Tensor:
        weights_K = self.settings.weights(history.steps, call.step, num_steps=call.num_steps)
        forecast = history.forecast(weights_K)
        if self.settings.method is Method.SVD:
            return principal_forecast(forecast, history.snapshots[-1], rank=self.settings.rank)
        return forecast

    def _run_blocks(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor | Streams:
        if self.hidden_index is None:
            for block in self.blocks:
                hidden_states = block(hidden_states, *args, **kwargs)
                if not isinstance(hidden_states, torch.Tensor):
                    raise ValueError(
                        f"{type(block).__name__} returns a {type(hidden_states).__name__}: Spectrum can stand in for "
                        "blocks that return one hidden state, or for those of a model whose two streams it knows"
                    )
            return hidden_states
        text, args, kwargs = _take_text(*args, **kwargs)
        for block in self.blocks:
            output = block(hidden_states, text, *args, **kwargs)
            hidden_states, text = output[self.hidden_index], output[1 - self.hidden_index]
        return self._with_text(hidden_states, text)

    def _hidden_of(self, output: torch.Tensor | Streams) -> torch.Tensor:
        """The hidden states that the output head takes, of what the blocks return."""
        return output if isinstance(output, torch.Tensor) else output[self.hidden_index or 0]

    def _with_text(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor | Streams:
        """`hidden_states` as the blocks return them, with the text's beside them where there are two streams."""
        if self.hidden_index is None:
            return hidden_states
        text, _, _ = _take_text(*args, **kwargs)
        return (hidden_states, text) if self.hidden_index == 0 else (text, hidden_states)

    def _state_of(self, call: TrunkCall) -> _BranchState:
        """The branch's state; a new one when a video begins, also after one that was broken off."""
        state = self._branches.get(call.branch)
        if state is not None and call.step == 0:
            self._branches.clear()  # of a video that was broken off; the other branches' histories go with it
        if state is None or call.step == 0:
            plan = self.settings.plan(call.num_steps)
            history = History(self.settings.capacity(plan))
            state = self._branches[call.branch] = _BranchState(plan=plan, history=history)
        if not call.step == len(state.rounds) < call.num_steps == len(state.plan):
            expected = f"step {len(state.rounds)} of {len(state.plan)}"
            raise ValueError(
                f"branch {call.branch!r} is at {expected} but was called for step {call.step} of {call.num_steps}: "
                "a forecast needs every step of a video, in order, from step 0"
            )
        return state


def _take_text(
    *args: Any, encoder_hidden_states: torch.Tensor | None = None, **kwargs: Any
) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The text's hidden states out of a block's other arguments, where they come first or by name; and the rest."""
    if encoder_hidden_states is not None:
        return encoder_hidden_states, args, kwargs
    return args[0], args[1:], kwargs
