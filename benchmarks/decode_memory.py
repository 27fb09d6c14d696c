"""Peak memory of decoding one video with Wan2.1's autoencoder, counted without a GPU.

The decoder runs on fake tensors, which have shapes and no data, and the bytes of all tensors that are alive at once
are added up. What is not counted: the workspaces of convolution kernels and the allocator's rounding, so a GPU
shows more; `python -m benchmarks.wan_rounds --parts decode` measures that where there is one. A band is the share of
one rank of several that decode together (with the rows it borrows from its neighbours left out).
"""

import weakref
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from rich.console import Console
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.arguments import parser, write_json

GIB = 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class Decode:
    """One way to decode one video."""

    height: int
    width: int
    num_frames: int
    dtype: torch.dtype
    tiling: bool = False
    num_ranks: int = 1

    @property
    def name(self) -> str:
        """Of the row."""
        how = "tiles" if self.tiling else f"bands of {self.num_ranks} ranks" if self.num_ranks > 1 else "whole"
        return f"{self.height}×{self.width}×{self.num_frames}, {str(self.dtype).removeprefix('torch.')}, {how}"


class AliveBytes(TorchDispatchMode):
    """Adds up the bytes of the storages that operators make, and takes off what is freed."""

    def __init__(self, *, beside: Iterable[torch.Tensor] = ()) -> None:
        """What is made of the tensors `beside` without a copy, such as a weight's transpose, is not counted."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive = 0
        self.peak = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in beside}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._see(leaf.untyped_storage())
        return result

    def _see(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        self._known.add(key)
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.alive -= size


@torch.no_grad()
def peak_bytes(decode: Decode) -> tuple[int, int]:
    """(bytes of the weights, largest bytes alive beside them)."""
    rows = -(-decode.height // 8 // decode.num_ranks)
    with FakeTensorMode():
        before = torch.get_default_dtype()
        torch.set_default_dtype(decode.dtype)
        vae = AutoencoderKLWan().eval().requires_grad_(False)
        torch.set_default_dtype(before)
        if decode.tiling:
            vae.enable_tiling()
        latents = torch.empty(
            1, vae.config.z_dim, (decode.num_frames - 1) // 4 + 1, rows, decode.width // 8, dtype=decode.dtype
        )
        weights = sum(parameter.nbytes for parameter in vae.parameters())
        with AliveBytes(beside=vae.parameters()) as alive:
            vae.decode(latents, return_dict=False)
    return weights, alive.peak


def decodes(*, quick: bool) -> list[Decode]:
    """The rows of the table."""
    sizes = [(480, 832, 81), (720, 1280, 81)]
    if quick:
        return [Decode(height=64, width=64, num_frames=9, dtype=torch.float32)]
    rows = []
    for height, width, num_frames in sizes:
        whole = Decode(height=height, width=width, num_frames=num_frames, dtype=torch.float32)
        rows += [
            whole,
            replace(whole, dtype=torch.bfloat16),
            replace(whole, num_ranks=8),
            replace(whole, tiling=True),
        ]
    return rows


def main() -> None:
    """Count and print."""
    arguments = parser(__doc__ or "").parse_args()
    console = Console()
    console.print("| decode | weights, GiB | peak beside them, GiB |\n|---|--:|--:|", highlight=False)
    figures = []
    for decode in decodes(quick=arguments.quick):
        weights, peak = peak_bytes(decode)
        figures.append({"decode": decode.name, "weights_bytes": weights, "peak_bytes": peak})
        console.print(f"| {decode.name} | {weights / GIB:.2f} | {peak / GIB:.1f} |", highlight=False, soft_wrap=True)
    write_json(arguments.json, {"rows": figures})


if __name__ == "__main__":
    main()
