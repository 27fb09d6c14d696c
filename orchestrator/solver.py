"""The ODE solver of one video, working on whatever slice of its tokens a rank holds."""

from dataclasses import dataclass

import torch
from diffusers import UniPCMultistepScheduler


@dataclass(frozen=True, kw_only=True, slots=True)
class SolverState:
    """A multistep solver's memory."""

    tensors: dict[str, torch.Tensor]
    step: int
    """Steps taken."""
    lower_order_nums: int
    """Steps taken since the start, up to the solver's order."""
    order: int
    """Order of the last step."""


class Solver:
    """UniPC with the model's own settings, for one video.

    Its updates are elementwise, so a rank that holds a slice of the tokens steps that slice alone and gets
    the slice of what one process would get.
    """

    def __init__(
        self, scheduler: UniPCMultistepScheduler, *, num_steps: int, flow_shift: float, device: torch.device
    ) -> None:
        """A fresh solver configured like `scheduler`, which itself is not touched.

        Args:
            scheduler: from the model's folder.
            num_steps: denoising steps.
            flow_shift: shift of the flow-matching sigmas.
            device: where the timesteps are kept.
        """
        self._scheduler = UniPCMultistepScheduler.from_config(scheduler.config, flow_shift=flow_shift)
        self._scheduler.set_timesteps(num_steps, device=device)
        self._scheduler.set_begin_index(0)

    def timestep(self, step: int) -> torch.Tensor:
        """The timestep of `step`, shape (1,): what the transformer is told."""
        timesteps: torch.Tensor = self._scheduler.timesteps
        return timesteps[step].expand(1)

    def advance(self, step: int, velocity_BSD: torch.Tensor, tokens_BSD: torch.Tensor) -> torch.Tensor:
        """The tokens after `step`. Steps must be taken in order, as the solver remembers the last ones."""
        timestep = self._scheduler.timesteps[step]
        stepped: torch.Tensor = self._scheduler.step(velocity_BSD, timestep, tokens_BSD, return_dict=False)[0]
        return stepped

    def state(self) -> SolverState:
        """What the solver remembers of the steps so far: all that a fresh one lacks to go on from here."""
        scheduler = self._scheduler
        tensors = {f"output{index}": tensor for index, tensor in enumerate(scheduler.model_outputs)}
        tensors["sample"] = scheduler.last_sample
        return SolverState(
            tensors={name: tensor for name, tensor in tensors.items() if tensor is not None},
            step=scheduler.begin_index if scheduler.step_index is None else scheduler.step_index,
            lower_order_nums=scheduler.lower_order_nums,
            order=getattr(scheduler, "this_order", 0),
        )

    def restore(self, state: SolverState) -> None:
        """Go on from where the solver was that gave this state."""
        scheduler = self._scheduler
        order = scheduler.config.solver_order
        scheduler.model_outputs = [state.tensors.get(f"output{index}") for index in range(order)]
        known = [index for index in range(order) if scheduler.model_outputs[index] is not None]
        scheduler.timestep_list = [None] * order
        for index in known:  # output i belongs to the step that lies (order - i) before the next one
            scheduler.timestep_list[index] = scheduler.timesteps[state.step - order + index]
        scheduler.last_sample = state.tensors.get("sample")
        scheduler.lower_order_nums = state.lower_order_nums
        scheduler.this_order = state.order
        scheduler.set_begin_index(state.step)  # a scheduler that has not stepped begins there
