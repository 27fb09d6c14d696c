"""Where a stage of a video has run out of GPU memory: what to change, on this rank and for this video."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from orchestrator.errors import RenderMemoryError
from orchestrator.estimate_memory import LEAST_HISTORY
from orchestrator.rank import RankSpec
from orchestrator.reports import Stage
from orchestrator.request import Request
from spectrum import Features, Method

_ON_CPU = "decode.workers=1 decode.device=cpu (with Ray)"
_ANOTHER = "makes it another video, with another id, that is rendered anew"


@contextmanager
def memory_explained(stage: Stage, spec: RankSpec, request: Request) -> Iterator[None]:
    """While a rank denoises or decodes.

    Raises:
        RenderMemoryError: the GPU's memory did not suffice; one line says what to change.
    """
    advise = {Stage.DENOISE: denoise_advice, Stage.DECODE: decode_advice}[stage]
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RenderMemoryError(advise(spec, request)) from error


def denoise_advice(spec: RankSpec, request: Request) -> str:
    """Of a gang's rank; the forecaster's history grows with the full rounds."""
    same: list[str] = []
    if request.forecast.method is not Method.SVD:  # which needs all tokens on one rank
        same.append(f"more ranks in each gang (now {spec.layout.world_size}: parallel.ranks)")
    same += _sharding(spec)
    other = [*_smaller_history(request), "a smaller video.height, video.width or video.num_frames"]
    goes_on = f"with {_any_of(same)} the same command goes on; " if same else ""
    return f"denoising ran out of GPU memory: {goes_on}{_any_of(other)} {_ANOTHER}"


def decode_advice(spec: RankSpec, request: Request) -> str:
    """Of a gang's rank, or of a decode worker."""
    same = list(_decode_settings(spec, is_tiled=request.decode_tiling))
    other = ""
    if not request.decode_tiling:
        tiling = "decode.tiling=true decode.parallel=false" if spec.decode_parallel else "decode.tiling=true"
        other = f"; {tiling} takes little memory whatever the size, but {_ANOTHER}"
    return (
        "decoding ran out of GPU memory; the latents are on the disk, and the same command goes on from them with "
        f"{_any_of(same)}{other}"
    )


def _decode_settings(spec: RankSpec, *, is_tiled: bool) -> Iterator[str]:
    """What leaves the video as it is. Tiles are decoded by one rank, so they exclude decode.parallel."""
    if spec.decodes_only:
        yield "decode.device=cpu"
        if not is_tiled:
            yield "decode.workers=0 decode.parallel=true where gangs have several ranks"
        return
    if spec.decode_parallel:
        yield f"more ranks in each gang (now {spec.layout.world_size}: parallel.ranks)"
        yield f"decode.parallel=false {_ON_CPU}"
    else:
        if not is_tiled and spec.layout.world_size > 1:
            yield "decode.parallel=true"
        elif not is_tiled:
            yield "several ranks in each gang (parallel.ranks) and decode.parallel=true"
        yield _ON_CPU
    yield from _sharding(spec)


def _sharding(spec: RankSpec) -> list[str]:
    can_shard = spec.layout.world_size > 1 and not spec.shard_blocks
    return ["parallel.shard_blocks=true"] if can_shard else []


def _smaller_history(request: Request) -> Iterator[str]:
    """Not of a calibrated forecast, whose weights are for so many snapshots of such features."""
    forecast = request.forecast
    if forecast.method in {Method.NONE, Method.CALIBRATED}:
        return
    num_snapshots = forecast.capacity(forecast.plan(request.num_steps))
    if num_snapshots > LEAST_HISTORY:
        yield f"a shorter history (now {num_snapshots} snapshots: forecast.max_history)"
    if forecast.features is not Features.VELOCITY:
        yield "forecast.features=velocity"


def _any_of(settings: Sequence[str]) -> str:
    """At least one."""
    *first, last = settings
    return f"{', '.join(first)} or {last}" if first else last
