"""Published seconds of Wan2.1-14B on 1 to 8 GPUs, and what `parallel.render_time` predicts for them."""

from dataclasses import dataclass, replace
from typing import Any

from parallel.hardware import A800, A800_NODES, H20, H100, HOPPER_NODES, Chip, Network
from parallel.layout import Layout
from parallel.published import OFFICIAL_720P_SECONDS, published_pace
from parallel.render_case import Assumptions, Render, Rounds
from parallel.render_time import fitted_efficiency, predict, speedup
from parallel.wan_shapes import SIZE_480P, SIZE_720P, WAN_14B, VideoSize

NUM_STEPS = 50

DIFFUSERS_720P_SECONDS = 1883.0
"""As `DIFFUSERS_480P_SECONDS` at 720p: left out of every fit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """Seconds of a whole video, Wan2.1-14B T2V, 720p, 50 full rounds, by the number of GPUs."""

    source: str
    chip: Chip
    network: Network
    seconds: dict[int, float]

    def fitted(self) -> Render:
        """The video on one GPU, with the efficiency that gives the published seconds."""
        render = Render(model=WAN_14B, size=SIZE_720P, chip=self.chip, network=self.network)
        return replace(render, assumptions=Assumptions(efficiency=fitted_efficiency(render, self.seconds[1])))


PRECISECACHE = Published(
    source="PreciseCache's base", chip=A800, network=A800_NODES, seconds={1: 3326, 2: 1732, 4: 907, 8: 459}
)
PRECISECACHE_CACHED = {1: 1330.0, 2: 753.0, 4: 416.0, 8: 229.0}
"""Its seconds with caching, by the number of GPUs."""
PUBLISHED = (
    Published(
        source="official",
        chip=H20,
        network=HOPPER_NODES,
        seconds={1: OFFICIAL_720P_SECONDS["H20"], 2: 3488.4, 4: 1775.8, 8: 980.5},
    ),
    Published(
        source="official",
        chip=A800,
        network=A800_NODES,
        seconds={1: OFFICIAL_720P_SECONDS["A800"], 2: 1722.0, 4: 886.1, 8: 469.9},
    ),
    Published(
        source="official",
        chip=H100,
        network=HOPPER_NODES,
        seconds={1: OFFICIAL_720P_SECONDS["H100"], 2: 945.1, 4: 497.0, 8: 287.9},
    ),
    PRECISECACHE,
)
STEP_SECONDS = {
    "LightX2V": (5.18, 0.75),
    "SGLang": (6.13, 1.19),
    "xDiT": (8.93, 2.70),
    "FastVideo": (7.35, 2.94),
}
"""Seconds of a step of I2V-14B at 480p on one and on eight H100 (LightX2V's README)."""
PAPER_SPEEDUPS = {14: 3.40, 10: 4.67}
"""Spectrum's paper, Wan2.1-14B at 480p on one GPU, by the number of full rounds."""


def check_totals() -> list[dict[str, Any]]:
    """Predicted and published seconds of whole videos, split by Ulysses alone as in the published runs."""
    rows = []
    for published in PUBLISHED:
        fitted = published.fitted()
        for num_ranks, seconds in published.seconds.items():
            predicted = predict(replace(fitted, layout=Layout(ulysses=num_ranks))).total
            rows.append(
                {
                    "source": published.source,
                    "chip": published.chip.name,
                    "efficiency": fitted.assumptions.efficiency,
                    "gpus": num_ranks,
                    "published": seconds,
                    "predicted": predicted,
                    "error": predicted / seconds - 1,
                }
            )
    return rows


def check_steps() -> list[dict[str, Any]]:
    """Predicted and published seconds of a step on eight H100, from the measured step on one."""
    rows = []
    for source, (one, eight) in STEP_SECONDS.items():
        render = Render(
            model=WAN_14B,
            size=SIZE_480P,
            chip=H100,
            network=HOPPER_NODES,
            layout=Layout(ulysses=8),
            assumptions=Assumptions(measured_full_round_seconds=one, step_seconds=0),
        )
        breakdown = predict(render)
        predicted = (breakdown.compute + breakdown.wire) / render.rounds.num_steps
        rows.append(
            {"source": source, "one": one, "eight": eight, "predicted": predicted, "error": predicted / eight - 1}
        )
    return rows


def check_gain() -> list[dict[str, Any]]:
    """What is left of a caching gain on more GPUs: PreciseCache on A800, its full rounds fitted to one GPU."""
    fitted = PRECISECACHE.fitted()
    candidates = [Rounds(num_steps=NUM_STEPS, num_full=num_full) for num_full in range(1, NUM_STEPS + 1)]
    rounds = min(
        candidates, key=lambda rounds: abs(predict(replace(fitted, rounds=rounds)).total - PRECISECACHE_CACHED[1])
    )
    rows = []
    for num_ranks, cached in PRECISECACHE_CACHED.items():
        predicted = speedup(replace(fitted, rounds=rounds, layout=Layout(ulysses=num_ranks)))
        published = PRECISECACHE.seconds[num_ranks] / cached
        rows.append(
            {
                "full_rounds": rounds.num_full,
                "gpus": num_ranks,
                "published": published,
                "predicted": predicted,
                "error": predicted / published - 1,
            }
        )
    return rows


def diffusers_render(size: VideoSize = SIZE_480P, chip: Chip = H100) -> Render:
    """A video on one GPU at the efficiency of diffusers' transformer, fitted at 480p on an H100."""
    efficiency = published_pace(H100).efficiency
    base = Render(model=WAN_14B, size=size, chip=chip, network=HOPPER_NODES)
    return replace(base, assumptions=Assumptions(efficiency=efficiency))


def check_single_gpu() -> list[dict[str, Any]]:
    """What one efficiency, fitted at 480p with all rounds full, says of another size and of forecasts."""
    small = diffusers_render()
    checks = [("720p, seconds", DIFFUSERS_720P_SECONDS, predict(replace(small, size=SIZE_720P)).total)]
    for num_full, published in PAPER_SPEEDUPS.items():
        rounds = Rounds(num_steps=NUM_STEPS, num_full=num_full)
        checks.append((f"{num_full} full rounds, speed-up", published, speedup(replace(small, rounds=rounds))))
    return [
        {"figure": figure, "published": published, "predicted": predicted, "error": predicted / published - 1}
        for figure, published, predicted in checks
    ]
