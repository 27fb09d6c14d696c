"""Load a transformer whose blocks are sharded over a gang: for GPUs on which the whole does not fit.

Each rank keeps 1/n of every block's parameters and gathers a block's when it runs (FSDP2, `fully_shard`). Embeddings
and the output head stay whole on each rank, so that forecast rounds still need no other rank.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import ModelMixin
from safetensors import safe_open
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard

_INDEX = "diffusion_pytorch_model.safetensors.index.json"
_SINGLE_FILE = "diffusion_pytorch_model.safetensors"


def load_sharded(
    model_class: type[ModelMixin], folder: Path, *, device: torch.device, dtype: torch.dtype, world_size: int
) -> ModelMixin:
    """The model from `folder`, its list `blocks` sharded over all ranks of the default process group.

    The model is built on the meta device. Of each block's tensor a rank reads its own rows from the file and nothing
    else, so that neither host nor GPU ever holds the whole model.

    Args:
        model_class: with a list of modules `blocks`, such as WanTransformer3DModel.
        folder: with config.json and safetensors weights.
        device: of this rank.
        dtype: of the parameters, but for those that the class keeps in float32.
        world_size: ranks in the process group.

    Raises:
        ValueError: the files lack a parameter of the model.
    """
    with init_empty_weights():
        model = model_class.from_config(model_class.load_config(folder))
    mesh = init_device_mesh(device.type, (world_size,), mesh_dim_names=("blocks",))
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.to(_dtype_of(model, name, dtype))
    model.requires_grad_(False)
    _shard(model, mesh)
    with ExitStack() as files:
        reader = _Reader(folder, files)
        state = dict(_parameters(model, reader, device, mesh))
    model.load_state_dict(state, assign=True)
    return model.to(device).eval().requires_grad_(False)


def _shard(model: ModelMixin, mesh: DeviceMesh) -> None:
    """Shard the blocks' parameters and no other.

    The model is the root that FSDP wants, with nothing of its own to shard: blocks that are roots themselves would
    stay whole once they have run, and their gathers would wait for the block before instead of running beside it.
    """
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    in_blocks = set(model.blocks.parameters())
    fully_shard(model, mesh=mesh, ignored_params={one for one in model.parameters() if one not in in_blocks})


class _Reader:
    """The tensors of a folder of safetensors files, read row by row."""

    def __init__(self, folder: Path, files: ExitStack) -> None:
        index = folder / _INDEX
        names = set(json.loads(index.read_text())["weight_map"].values()) if index.is_file() else {_SINGLE_FILE}
        self._folder = folder
        self._files: dict[str, Any] = {}
        for name in sorted(names):
            opened = files.enter_context(safe_open(folder / name, framework="pt"))
            self._files |= dict.fromkeys(opened.keys(), opened)

    def rows(self, name: str, begin: int, end: int) -> torch.Tensor:
        """Rows [begin, end) of a tensor's first dimension."""
        if name not in self._files:
            raise ValueError(f"the weight files of {self._folder} lack {name}")
        rows: torch.Tensor = self._files[name].get_slice(name)[begin:end]
        return rows


def _parameters(
    model: ModelMixin, reader: _Reader, device: torch.device, mesh: DeviceMesh
) -> Iterator[tuple[str, torch.Tensor]]:
    for name, parameter in model.named_parameters():
        if isinstance(parameter, DTensor):
            begin, end = _own_rows(parameter.shape[0], mesh)
            local = reader.rows(name, begin, end).to(device, parameter.dtype)
            yield (
                name,
                DTensor.from_local(
                    local, mesh, [Shard(0)], run_check=False, shape=parameter.shape, stride=parameter.stride()
                ),
            )
        else:
            yield name, reader.rows(name, 0, parameter.shape[0]).to(device, parameter.dtype)


def _own_rows(num_rows: int, mesh: DeviceMesh) -> tuple[int, int]:
    """The rows that `Shard(0)` gives this rank: `torch.chunk`'s, the last ranks may have fewer or none."""
    each = -(-num_rows // mesh.size())
    begin = min(mesh.get_local_rank() * each, num_rows)
    return begin, min(begin + each, num_rows)


def _dtype_of(model: ModelMixin, name: str, dtype: torch.dtype) -> torch.dtype:
    kept = getattr(model, "_keep_in_fp32_modules", None) or []
    return torch.float32 if set(kept) & set(name.split(".")) else dtype
