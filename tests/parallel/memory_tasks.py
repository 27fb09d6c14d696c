"""What each rank of a gang does for `test_sharded_blocks.py` and `test_vae.py`; see `tests/parallel/gang.py`."""

from dataclasses import replace
from pathlib import Path

import torch
from torch.distributed.tensor import DTensor

from benchmarks.demo_model import REQUEST
from benchmarks.rank_engine import RankEngine, build, counted_collectives
from parallel import sharded_blocks
from parallel.layout import Layout
from parallel.vae import apply_parallel_decode
from spectrum import ForecastSettings, Round

LAYOUTS = {1: [{}], 2: [{"ulysses": 2}, {"cfg": 2}], 4: [{"cfg": 2, "ulysses": 2}]}
SMALL = replace(REQUEST, height=64, width=96, num_frames=9, num_steps=10, forecast=ForecastSettings())


def load(model: str, rank: int, layout: Layout, *, shard_blocks: bool) -> RankEngine:
    return build(
        Path(model),
        layout=layout,
        rank=rank,
        device=torch.device("cpu"),
        dtype=torch.float32,
        max_sequence_length=24,
        shard_blocks=shard_blocks,
    )


def render(loaded: RankEngine) -> dict:
    state = loaded.start(SMALL)
    with counted_collectives(state) as counts:
        latents = loaded.denoise(state)
    by_kind = {kind: {counts[step] for step, planned in enumerate(state.plan) if planned is kind} for kind in Round}
    return {"latents": latents, "collectives": by_kind}


def parameters(loaded: RankEngine) -> dict:
    """Of the blocks and of all else: bytes on this rank, and whether any tensor is one of several ranks."""
    inside = [parameter for block in loaded.transformer.blocks for parameter in block.parameters()]
    names = {id(parameter) for parameter in inside}
    outside = [parameter for parameter in loaded.transformer.parameters() if id(parameter) not in names]
    return {
        part: {
            "bytes": sum((one.to_local() if isinstance(one, DTensor) else one).nbytes for one in of_part),
            "is_shared": any(isinstance(one, DTensor) for one in of_part),
        }
        for part, of_part in (("blocks", inside), ("rest", outside))
    }


def count_read_bytes(monitored: list[int]) -> None:
    """Note the size of whatever is read from the weight files."""
    original = sharded_blocks._Reader.rows

    def rows(self, name: str, begin: int, end: int) -> torch.Tensor:
        read = original(self, name, begin, end)
        monitored.append(read.nbytes)
        return read

    sharded_blocks._Reader.rows = rows


def shard_and_decode(rank: int, world_size: int, *, model: str) -> dict:
    """By layout: the same video with whole and with sharded blocks. And one video's pixels, decoded by all ranks."""
    results = {}
    read: list[int] = []
    count_read_bytes(read)
    for degrees in LAYOUTS[world_size]:
        layout = Layout(**degrees)
        whole = load(model, rank, layout, shard_blocks=False)
        results[str(layout)] = {"whole": render(whole) | parameters(whole)}
        if world_size > 1:
            read.clear()
            sharded = load(model, rank, layout, shard_blocks=True)
            results[str(layout)]["sharded"] = render(sharded) | parameters(sharded) | {"read": sum(read)}
    latents = torch.randn(1, whole.vae.config.z_dim, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        results["pixels"] = whole.vae.decode(latents).sample
        if world_size > 1:
            apply_parallel_decode(whole.vae)
            results["pixels together"] = whole.vae.decode(latents).sample
    return results
