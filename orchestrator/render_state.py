"""What a rank knows of the video that it renders."""

from dataclasses import dataclass, field
from enum import StrEnum

import torch

from orchestrator.reports import RoundReport
from orchestrator.request import Request
from orchestrator.solver import Solver
from orchestrator.tokens import LatentShape
from spectrum import ForecastSettings, Gram, History, Plan


class Branch(StrEnum):
    """A pass of classifier-free guidance."""

    COND = "cond"
    UNCOND = "uncond"


def branches_of(request: Request) -> tuple[Branch, ...]:
    """The guidance branches of a request."""
    return (Branch.COND, Branch.UNCOND) if request.is_guided else (Branch.COND,)


GUIDED = "guided"
"""Name of the history of velocities: both branches combined."""


@dataclass(kw_only=True, slots=True)
class RenderState:
    """Everything of one video on one rank. It belongs to that video and dies with it."""

    request: Request
    forecast: ForecastSettings
    """The request's; or, once a video was resumed without its histories, what stands in for them."""
    shape: LatentShape
    plan: Plan
    """Which rounds are full. With an error budget: as far as it is decided."""
    solver: Solver
    prompt_embeds: dict[Branch, torch.Tensor]
    """One for each branch that this rank runs, (1, text tokens, text width)."""
    histories: dict[str, History]
    """By branch; one for both where velocities are forecast."""
    gram: Gram
    """Inner products of the snapshots, over all tokens and both branches."""
    tokens: torch.Tensor
    """This rank's slice of the latents, (1, tokens, values), float32."""
    step: int = 0
    """The next step to take."""
    fallback_step: int | None = None
    """The full round to come that replaces a forecast which is not trusted."""
    rounds: list[RoundReport] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)
    """Where the video was taken up again, and from what, such as "step 12 (latents)"."""

    @property
    def is_denoised(self) -> bool:
        """Whether every step has been taken."""
        return self.step == len(self.plan)
