"""The caches that diffusers ships, run through their own API on the stock pipeline of the demo model.

`FirstBlockCache`, `TaylorSeer`, `MagCache` and `SeaCache` are what diffusers 0.42 offers for a Wan transformer by
`transformer.enable_cache(config)`. Their thresholds were chosen on captions of SELECTION_SEED, by
`python -m benchmarks.quality_search`, so that they run about as many passes of the blocks as 14 or 10 full rounds.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from time import process_time
from typing import Any

import torch
from diffusers import (
    FirstBlockCacheConfig,
    MagCacheConfig,
    TaylorSeerCacheConfig,
    UniPCMultistepScheduler,
    WanPipeline,
)
from diffusers.hooks import SeaCacheConfig

from benchmarks.demo_model import FOLDER, MAX_SEQUENCE_LENGTH, Rendered
from orchestrator.decode import decode_latents
from orchestrator.request import Request


class CacheKind(StrEnum):
    """A cache of diffusers."""

    FIRST_BLOCK = "FirstBlockCache"
    TAYLORSEER = "TaylorSeer"
    MAG = "MagCache"
    SEA = "SeaCache"


_CONFIGS: dict[CacheKind, Any] = {
    CacheKind.FIRST_BLOCK: FirstBlockCacheConfig,
    CacheKind.TAYLORSEER: TaylorSeerCacheConfig,
    CacheKind.MAG: MagCacheConfig,
    CacheKind.SEA: SeaCacheConfig,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheSettings:
    """A cache and the options of its configuration that are not the library's defaults."""

    kind: CacheKind
    options: dict[str, Any] = field(default_factory=dict)
    """Plain values."""

    def as_json(self) -> dict[str, Any]:
        """For hashes."""
        return asdict(self)

    def config(self) -> Any:
        """The library's own configuration.

        TaylorSeer keeps its derivatives in bfloat16 unless told otherwise; here all else is float32.
        """
        in_float32 = {"taylor_factors_dtype": torch.float32} if self.kind is CacheKind.TAYLORSEER else {}
        return _CONFIGS[self.kind](**in_float32, **self.options)


class CachedPipeline:
    """The stock pipeline of the demo model, loaded once."""

    def __init__(self) -> None:
        pipeline = WanPipeline.from_pretrained(FOLDER, local_files_only=True)
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline: Any = pipeline

    def render(self, request: Request, cache: CacheSettings | None) -> Rendered:
        """One video, with the passes of its blocks counted; the plain pipeline where `cache` is None."""
        pipeline = self._pipeline
        pipeline.scheduler = UniPCMultistepScheduler.from_config(
            pipeline.scheduler.config, flow_shift=request.flow_shift
        )
        begin = process_time()
        with _enabled(pipeline.transformer, cache), counted_passes(pipeline.transformer) as passes:
            latents = pipeline(
                prompt=request.prompt,
                negative_prompt=request.negative_prompt,
                height=request.height,
                width=request.width,
                num_frames=request.num_frames,
                num_inference_steps=request.num_steps,
                guidance_scale=request.guidance_scale,
                max_sequence_length=MAX_SEQUENCE_LENGTH,
                generator=torch.Generator().manual_seed(request.seed),
                output_type="latent",
            ).frames
        frames = decode_latents(pipeline.vae, latents)
        branches = 2 if request.is_guided else 1
        return Rendered(
            frames=frames,
            seconds=process_time() - begin,
            num_full_rounds=sum(passes) / (branches * len(passes)),
        )


@contextmanager
def _enabled(transformer: Any, cache: CacheSettings | None) -> Iterator[None]:
    """The cache is on inside the block, and taken off with its state after it."""
    if cache is None:
        yield
        return
    transformer.enable_cache(cache.config())
    try:
        yield
    finally:
        transformer.disable_cache()


@contextmanager
def counted_passes(transformer: Any) -> Iterator[list[int]]:
    """How often each block has run inside the context, over both branches.

    A cache skips a block inside of the block's own call, or of its attention's; counted is what is left: the
    projection of self-attention, without which no block is run.
    """
    counts = [0] * len(transformer.blocks)

    def count(index: int) -> None:
        counts[index] += 1

    handles = [
        block.attn1.to_q.register_forward_hook(lambda *_, index=index: count(index))
        for index, block in enumerate(transformer.blocks)
    ]
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()
