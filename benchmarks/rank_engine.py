"""One rank's engine and decoder, built as a worker builds them, with what a benchmark needs to look inside."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch.utils._python_dispatch import TorchDispatchMode

from orchestrator.engine import Engine
from orchestrator.loading import (
    load_scheduler,
    load_sharded_transformer,
    load_text_encoder,
    load_transformer,
    load_vae,
    vae_scales,
)
from orchestrator.render_state import RenderState
from orchestrator.request import Request
from orchestrator.text import TextEncoder
from parallel.apply import apply_sequence_parallel
from parallel.layout import AttentionEngine, Layout
from parallel.token_group import TokenGroup

_COLLECTIVE_NAMESPACES = ("c10d", "_c10d_functional")
_NOT_COLLECTIVE = ("wait_tensor",)


@dataclass(frozen=True, kw_only=True, slots=True)
class RankEngine:
    """A loaded model on one rank."""

    transformer: WanTransformer3DModel
    engine: Engine
    group: TokenGroup
    vae: AutoencoderKLWan
    text: TextEncoder

    def start(self, request: Request) -> RenderState:
        """The state before the first step; every rank encodes the prompt itself."""
        return self.engine.start(request, self.text.encode(request))

    def denoise(self, state: RenderState) -> torch.Tensor:
        """Run all rounds that are left; the whole latents."""
        while not state.is_denoised:
            self.engine.run_segment(state)
        return self.engine.finish(state)


def build(
    folder: Path,
    *,
    layout: Layout,
    rank: int,
    device: torch.device,
    dtype: torch.dtype,
    max_sequence_length: int,
    attention: AttentionEngine = AttentionEngine.DIFFUSERS,
    uneven: bool = False,
    shard_blocks: bool = False,
) -> RankEngine:
    """Load the model of a folder on this rank of the default process group."""
    if shard_blocks:
        transformer = load_sharded_transformer(folder, device=device, dtype=dtype, world_size=layout.world_size)
    else:
        transformer = load_transformer(folder, device=device, dtype=dtype)
    group = apply_sequence_parallel(transformer, layout, rank=rank, engine=attention, uneven=uneven)
    spatial_scale, temporal_scale = vae_scales(folder)
    engine = Engine(
        transformer=transformer,
        scheduler=load_scheduler(folder),
        token_group=group,
        spatial_scale=spatial_scale,
        temporal_scale=temporal_scale,
    )
    return RankEngine(
        transformer=transformer,
        engine=engine,
        group=group,
        vae=load_vae(folder, device=device),
        text=load_text_encoder(folder, device=device, dtype=dtype, max_sequence_length=max_sequence_length),
    )


@contextmanager
def counted_collectives(state: RenderState) -> Iterator[Counter[int]]:
    """Count this rank's collectives inside the block, by the step that was under way.

    Every collective of torch.distributed, functional or not, is an operator of the c10d namespaces, and is seen here
    before it reaches gloo or NCCL.
    """
    counts: Counter[int] = Counter()

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(
            self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            if function.namespace in _COLLECTIVE_NAMESPACES and function._opname not in _NOT_COLLECTIVE:
                counts[state.step] += 1
            return function(*args, **(kwargs or {}))

    with Counting():  # type: ignore[no-untyped-call]
        yield counts
