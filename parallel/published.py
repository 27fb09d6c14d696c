"""How much of a chip's pace published renders have reached, where nobody has measured. Standard library only."""

from dataclasses import dataclass

from parallel.hardware import A800, A800_NODES, H20, H100, HOPPER_NODES, Chip
from parallel.render_case import Render
from parallel.render_time import fitted_efficiency
from parallel.wan_shapes import SIZE_480P, SIZE_720P, WAN_14B

DIFFUSERS_480P_SECONDS = 483.0
"""Wan2.1-14B T2V, 480p, 50 steps, one H100, all rounds full, on diffusers (Sparse-VideoGen issue 15)."""
OFFICIAL_720P_SECONDS = {H20.name: 6935.5, A800.name: 3342.6, H100.name: 1837.9}
"""The same at 720p on one GPU, in the official repository's table."""


@dataclass(frozen=True, slots=True)
class PublishedPace:
    """Part of a chip's achieved FLOP/s that published seconds stand for."""

    efficiency: float
    source: str
    """Which seconds, for people."""


def published_pace(chip: Chip) -> PublishedPace:
    """Of diffusers' transformer on Hopper's large chips, of the official code elsewhere."""
    if chip.name in (H20.name, A800.name):
        seconds = OFFICIAL_720P_SECONDS[chip.name]
        network = A800_NODES if chip.name == A800.name else HOPPER_NODES
        render = Render(model=WAN_14B, size=SIZE_720P, chip=chip, network=network)
        return PublishedPace(
            fitted_efficiency(render, seconds), f"the official {seconds:g} s of the 14B at 720p on one {chip.name}"
        )
    return PublishedPace(
        fitted_efficiency(
            Render(model=WAN_14B, size=SIZE_480P, chip=H100, network=HOPPER_NODES), DIFFUSERS_480P_SECONDS
        ),
        f"diffusers' published {DIFFUSERS_480P_SECONDS:g} s of the 14B at 480p on one H100",
    )
