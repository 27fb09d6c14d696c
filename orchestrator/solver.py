"""The ODE solver of one video, working on whatever slice of its tokens a rank holds."""

import torch
from diffusers import UniPCMultistepScheduler


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
