"""What the libraries need before they run without CUDA. Imported on machines without a GPU only.

Each item says what is wrong, and where it would be mended upstream. Nothing else in the project patches anything.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
import torch.distributed as dist


@contextmanager
def one_accelerator() -> Iterator[None]:
    """Let `torch.accelerator.device_count()` say 1 while diffusers sets parallelism up.

    diffusers 0.42 computes `rank % torch.accelerator.device_count()`, a division by zero where the only device is
    the CPU: `ModelMixin._resolve_parallel_config` in diffusers/models/modeling_utils.py (0.41 had no such line).
    """
    count = torch.accelerator.device_count
    torch.accelerator.device_count = lambda: 1
    try:
        yield
    finally:
        torch.accelerator.device_count = count


def let_native_attention_return_lse() -> None:
    """Let diffusers' ring attention run on its "native" backend, the only one there is on the CPU.

    The ring joins partial results by their log-sum-exp, which the native backend refuses to give, since
    `scaled_dot_product_attention` hides it. torch's CPU kernel computes it all the same:
    `_native_attention_forward_op` in diffusers/models/attention_dispatch.py could call it there.
    """
    from diffusers.models import attention_dispatch  # noqa: PLC0415

    original = attention_dispatch._native_attention_forward_op

    def forward_op(  # noqa: PLR0917
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
        return_lse: bool = False,
        **options: Any,
    ) -> Any:
        if not return_lse:
            return original(ctx, query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa, **options)
        return attention_with_lse(query, key, value, is_causal=is_causal, scale=scale)

    attention_dispatch._native_attention_forward_op = forward_op


def attention_with_lse(
    query_BSHD: torch.Tensor,
    key_BSHD: torch.Tensor,
    value_BSHD: torch.Tensor,
    *,
    is_causal: bool = False,
    scale: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention's output (B, S, H, D) and its log-sum-exp (B, S, H), from torch's own CPU kernel."""
    query, key, value = (one.permute(0, 2, 1, 3) for one in (query_BSHD, key_BSHD, value_BSHD))
    output, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, is_causal, scale=scale
    )
    return output.permute(0, 2, 1, 3), lse.permute(0, 2, 1)


def let_uneven_gathers_run_on_gloo() -> None:
    """Let diffusers gather slices of unequal length over gloo.

    NCCL's all-gather takes unequal shapes, gloo's does not: `_all_gather_anything` in
    diffusers/hooks/context_parallel.py would have to pad. Here the slices are padded to the longest and trimmed.
    """
    from diffusers.hooks import context_parallel  # noqa: PLC0415

    def all_gather_anything(tensor: torch.Tensor, dim: int, group: Any) -> torch.Tensor:
        lengths = context_parallel.gather_size_by_comm(tensor.shape[dim], group)
        longest = list(tensor.shape)
        longest[dim] = max(lengths)
        padded = tensor.new_zeros(longest)
        padded.narrow(dim, 0, tensor.shape[dim]).copy_(tensor)
        received = [torch.empty_like(padded) for _ in lengths]
        dist.all_gather(received, padded, group=group)
        return torch.cat([one.narrow(dim, 0, own) for one, own in zip(received, lengths, strict=True)], dim=dim)

    context_parallel._all_gather_anything = all_gather_anything


def import_xfuser() -> ModuleType:
    """Import xfuser where there is no accelerator.

    xfuser 0.7 fails at import, twice: `core/sparge_attention/block_mask.py` imports triton, which it does not
    declare, and `config/config.py` asks for the CUDA version, which raises. It then believes that sequence
    parallelism is not installed, as `envs.PackagesEnvChecker.check_long_ctx_attn` and `usp.PROCESS_GROUP` look at
    CUDA only. A stand-in for the one module that needs triton (sparse attention, not used here) and answers to
    the three questions let all of its sequence parallelism run on gloo.
    """
    if "xfuser" in sys.modules:
        return sys.modules["xfuser"]
    stand_in = ModuleType("xfuser.core.sparge_attention.block_mask")
    stand_in.__getattr__ = lambda _name: None  # type: ignore[method-assign]
    sys.modules[stand_in.__name__] = stand_in
    spec = importlib.util.find_spec("xfuser")
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["xfuser"] = package
    from xfuser import envs  # noqa: PLC0415 - before the package itself, which asks it at once

    envs.get_device_version = lambda: None
    envs.get_torch_distributed_backend = lambda: "gloo"
    envs.PACKAGES_CHECKER.packages_info["has_long_ctx_attn"] = True
    spec.loader.exec_module(package)
    import yunchang.globals  # noqa: PLC0415
    from xfuser.model_executor.layers import usp  # noqa: PLC0415

    usp.PROCESS_GROUP = yunchang.globals.PROCESS_GROUP
    return package


def let_xfuser_attend() -> str:
    """Give xfuser's "SDPA with FLASH backend" a kernel that the CPU has; that backend's name.

    It calls `aten._scaled_dot_product_flash_attention`, which exists for CUDA only, though torch has the same for the
    CPU under another name: `_sdpa_flash_attn_call` in xfuser/core/distributed/attention_backend.py could choose. It
    is the one backend of xfuser's that gives a log-sum-exp without a package for GPUs, as a ring needs.
    """
    from xfuser.core.distributed import attention_backend  # noqa: PLC0415

    def attend(  # noqa: PLR0917
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        dropout_p: float,
        is_causal: bool,
        attention_kwargs: dict[str, Any] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        output, lse = kernel(query.contiguous(), key.contiguous(), value.contiguous(), dropout_p, is_causal)
        return output, lse

    backend = attention_backend.AttentionBackendType.SDPA_FLASH
    attention_backend.ATTENTION_FUNCTION_REGISTRY[backend] = attend
    return str(backend.name)
