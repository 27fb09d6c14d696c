"""Whether a gang's ranks hold their videos, and if not, the nearest setting with which they would."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from orchestrator.cost_model import CostModel, VideoLoad
from parallel.layout import Layout
from parallel.render_memory import GIB, Footprint, MemoryCase, footprint

LIBRARY_BYTES = 0.8 * GIB
"""Of a process on the CPU, beside its tensors: torch, diffusers, Ray; assumed."""
LEAST_HISTORY = 4
"""Snapshots that are still worth forecasting from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A setting, and what becomes of the memory with it."""

    setting: str
    case: MemoryCase


def rank_case(costs: CostModel, load: VideoLoad, layout: Layout, *, shard_blocks: bool, on_cpu: bool) -> MemoryCase:
    """What decides the memory of the gang's fullest rank."""
    case = costs.memory_case(load, layout, shard_blocks=shard_blocks)
    return replace(case, reserved_bytes=LIBRARY_BYTES) if on_cpu else case


def what_does_not_fit(case: MemoryCase, usable_bytes: float, *, layouts: Sequence[Layout], gpu: str) -> str | None:
    """Why the rank's memory does not suffice, with the nearest setting that does; None where it does.

    Args:
        case: of the rank.
        usable_bytes: of its GPU.
        layouts: of more ranks, that the GPUs at hand would allow, the smallest first.
        gpu: its name.
    """
    needed = footprint(case)
    if needed.peak <= usable_bytes:
        return None
    nearest = nearest_that_fits(case, usable_bytes, layouts=layouts)
    advice = (
        "no setting of this model and size fits"
        if nearest is None
        else f"nearest that fits: {nearest.setting} ({footprint(nearest.case).peak / GIB:.1f} GiB)"
    )
    return (
        f"{case.size.height}x{case.size.width}, {case.size.num_frames} frames on {case.layout.world_size} × {gpu} "
        f"({case.layout}) needs {needed.peak / GIB:.1f} GiB of a GPU at {needed.worst_stage} "
        f"({_parts(needed)}), and {usable_bytes / GIB:.1f} GiB can be used; {advice}"
    )


def nearest_that_fits(case: MemoryCase, usable_bytes: float, *, layouts: Sequence[Layout]) -> Change | None:
    """The smallest change with which the rank holds the video: of one setting, else of two."""
    changes = list(_changes(case, usable_bytes, layouts))
    for change in changes:
        if footprint(change.case).peak <= usable_bytes:
            return change
    for first, second in combinations(changes, 2):
        for both in _changes(first.case, usable_bytes, layouts):
            if both.setting.partition("=")[0] == second.setting.partition("=")[0]:
                setting = f"{first.setting} {both.setting}"
                if footprint(both.case).peak <= usable_bytes:
                    return Change(setting=setting, case=both.case)
    return None


def _changes(case: MemoryCase, usable_bytes: float, layouts: Sequence[Layout]) -> Iterator[Change]:
    """Single settings that save memory, those that change the video least first."""
    if case.value_bytes == 4:
        half = replace(case, value_bytes=2, text_bytes=case.text_bytes / 2)
        yield Change(setting="model.dtype=bfloat16", case=half)
    if case.text_bytes:
        yield Change(setting="model.text_device=cpu", case=replace(case, text_bytes=0.0))
    if case.layout.world_size > 1:
        if case.vae_parameters and not case.decodes_together and not case.tiling:
            yield Change(setting="decode.parallel=true", case=replace(case, decodes_together=True))
        if not case.shards_blocks:
            yield Change(setting="parallel.shard_blocks=true", case=replace(case, shards_blocks=True))
    for layout in layouts:
        larger = replace(case, layout=layout)
        if layout.world_size > case.layout.world_size and footprint(larger).peak <= usable_bytes:
            yield Change(setting=f"parallel.ranks={layout.world_size}", case=larger)
            break
    if case.num_snapshots and not case.forecasts_velocity:
        yield from _less_history(case, usable_bytes)
        yield Change(setting="forecast.features=velocity", case=replace(case, forecasts_velocity=True))
    if case.vae_parameters and not case.tiling:
        yield Change(setting="decode.tiling=true", case=replace(case, tiling=True, decodes_together=False))
    yield from _fewer_frames(case, usable_bytes)


def _less_history(case: MemoryCase, usable_bytes: float) -> Iterator[Change]:
    """The longest history that fits, or else the shortest that is worth it."""
    lengths = range(case.num_snapshots - 1, LEAST_HISTORY - 1, -1)
    shorter = [replace(case, num_snapshots=length) for length in lengths]
    fitting = [one for one in shorter if footprint(one).stages["denoise"] <= usable_bytes]
    for one in fitting[:1] or shorter[-1:]:
        yield Change(setting=f"forecast.max_history={one.num_snapshots}", case=one)


def _fewer_frames(case: MemoryCase, usable_bytes: float) -> Iterator[Change]:
    """The longest video that fits."""
    for num_frames in range(case.size.num_frames - 4, 0, -4):
        shorter = replace(case, size=replace(case.size, num_frames=num_frames))
        if footprint(shorter).peak <= usable_bytes:
            yield Change(setting=f"video.num_frames={num_frames}", case=shorter)
            return


def _parts(needed: Footprint) -> str:
    at = {
        "encode": {"text encoder": needed.text},
        "denoise": {"history": needed.history, "activations": needed.activations},
        "decode": {"decoder": needed.decode},
    }[needed.worst_stage]
    parts = {"weights": needed.weights, **at, "reserved": needed.reserved}
    return ", ".join(f"{name} {size / GIB:.1f}" for name, size in parts.items())
