"""Self-attention by xfuser (xDiT): its groups and its processor under diffusers' split and gather.

The only module that imports xfuser. xfuser keeps its groups and settings in globals of its own, made once in a
process.
"""

from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from diffusers import ModelMixin

from parallel.layout import Layout


def use_xfuser_attention(transformer: ModelMixin, layout: Layout, *, rank: int) -> None:
    """Let every self-attention of `transformer` run through xfuser's unified sequence parallelism.

    The wrapper model and pipelines of xfuser are not used: the wrapper pads tokens that do not divide and attends to
    the padding.

    Args:
        transformer: with diffusers' context parallelism on it, whose split and gather stay.
        layout: ranks; xfuser lays them out in the same order, which is checked.
        rank: this process, in the default process group.

    Raises:
        ImportError: xfuser is not installed.
        ValueError: xfuser's groups are laid out otherwise.
    """
    _import_xfuser(transformer.device)
    from xfuser.model_executor.models.transformers.transformer_wan import xFuserWanAttnProcessor  # noqa: PLC0415

    _make_groups(transformer, layout, rank=rank)
    for block in _attention_blocks(transformer):
        block.attn1.set_processor(xFuserWanAttnProcessor())
        block.attn2.set_processor(
            xFuserWanAttnProcessor(use_ulysses_parallel_attention=False, is_cross_attention=True)
        )


def _attention_blocks(transformer: ModelMixin) -> Iterator[Any]:
    """Its blocks, wherever they are: a forecaster that is on it already has taken them below its own module."""
    return (module for module in transformer.modules() if hasattr(module, "attn1") and hasattr(module, "attn2"))


def leave_xfuser_groups() -> None:
    """Drop the groups that xfuser keeps in its globals, and leave the default group with them."""
    from xfuser.core.distributed import destroy_distributed_environment, destroy_model_parallel  # noqa: PLC0415

    destroy_model_parallel()
    destroy_distributed_environment()


def _import_xfuser(device: torch.device) -> None:
    if device.type == "cpu":
        from parallel.cpu import import_xfuser  # noqa: PLC0415 - never imported where there is a GPU

        import_xfuser()
    else:
        import xfuser  # noqa: F401, PLC0415


def _make_groups(transformer: ModelMixin, layout: Layout, *, rank: int) -> None:
    from xfuser import xFuserArgs  # noqa: PLC0415
    from xfuser.core import distributed as xfuser_distributed  # noqa: PLC0415

    on_gpu = transformer.device.type == "cuda"
    xfuser_distributed.init_distributed_environment(
        world_size=layout.world_size,
        rank=rank,
        local_rank=transformer.device.index or 0,  # it makes this the current device
        backend="nccl" if on_gpu else "gloo",
    )
    xfuser_distributed.initialize_model_parallel(
        classifier_free_guidance_degree=layout.cfg,
        sequence_parallel_degree=layout.sequence_degree,
        ring_degree=layout.ring,
        ulysses_degree=layout.ulysses,
        backend="nccl" if on_gpu else "gloo",
    )
    settings, _ = xFuserArgs(
        model="",
        use_cfg_parallel=layout.cfg == 2,
        ring_degree=layout.ring,
        ulysses_degree=layout.ulysses,
        attention_backend=None if on_gpu else _backend_on_cpu(),
    ).create_config()
    xfuser_distributed.initialize_runtime_state(Namespace(transformer=transformer), settings)
    _check_order(xfuser_distributed, layout, rank=rank)


def _backend_on_cpu() -> str:
    from parallel.cpu import let_xfuser_attend  # noqa: PLC0415 - never imported where there is a GPU

    return let_xfuser_attend()


def _check_order(xfuser_distributed: Any, layout: Layout, *, rank: int) -> None:
    first = rank - rank % layout.sequence_degree
    expected = list(range(first, first + layout.sequence_degree))
    members = dist.get_process_group_ranks(xfuser_distributed.get_sp_group().device_group)
    if members != expected:
        raise ValueError(f"xfuser's sequence group of rank {rank} holds ranks {members}, this layout {expected}")
