"""Put sequence parallelism on a finished transformer."""

import sys

import torch
from diffusers import ContextParallelConfig, ModelMixin
from torch.distributed.device_mesh import DeviceMesh

from parallel.layout import AttentionEngine, Layout, LayoutError, takes_16_bits_alone
from parallel.token_group import TokenGroup, join_token_group

_BACKEND_WITH_LSE = "_native_cudnn"
"""diffusers' attention backend for a ring on GPUs: its default one gives no log-sum-exp, which joins the parts."""
_DTYPES_WITH_LSE = (torch.bfloat16, torch.float16)


def apply_sequence_parallel(
    transformer: ModelMixin,
    layout: Layout,
    *,
    rank: int,
    engine: AttentionEngine = AttentionEngine.DIFFUSERS,
    uneven: bool = False,
) -> TokenGroup:
    """Split the tokens of every forward of `transformer` over the ranks of the default process group.

    The hidden states are sliced at the first block and gathered after `proj_out`, by diffusers' context parallelism
    on the stock model; so the output of the last block is this rank's slice. Self-attention over the slices is
    the engine's. With one rank the model is left as it is.

    Args:
        transformer: on its device, weights loaded. A forecaster may be on it already or be put on it later.
        layout: ranks of the gang.
        rank: this process.
        engine: whose code computes self-attention.
        uneven: some video's tokens do not divide by the slices. Costs an exchange of sizes with every gather; goes
            with the diffusers engine and ring or Ulysses alone.

    Returns:
        The group that slices and gathers tokens as the model does.

    Raises:
        LayoutError: the model cannot be split so.
        ValueError: the process group has another number of ranks.
    """
    num_heads = transformer.config.num_attention_heads
    if num_heads % layout.ulysses:
        raise LayoutError(f"{layout} does not divide the model's {num_heads} attention heads")
    if uneven and (engine is not AttentionEngine.DIFFUSERS or min(layout.ring, layout.ulysses) > 1):
        raise LayoutError(f"{layout} with the {engine.value} engine cannot take slices of unequal length")
    on_gpu = transformer.device.type == "cuda"
    if on_gpu and transformer.dtype not in _DTYPES_WITH_LSE and takes_16_bits_alone(layout, engine):
        raise LayoutError(
            f"{layout} with the {engine.value} engine computes attention on GPUs in bfloat16 or float16 alone, and "
            f"the model is in {str(transformer.dtype).removeprefix('torch.')}"
        )
    group = join_token_group(layout, rank=rank, device_type=transformer.device.type)
    if group.mesh is not None and layout.sequence_degree > 1:
        _split_tokens(transformer, layout, group.mesh, uneven=uneven)
        if engine is AttentionEngine.XFUSER:
            from parallel.xfuser_attention import use_xfuser_attention  # noqa: PLC0415 - a heavy and optional import

            use_xfuser_attention(transformer, layout, rank=rank)
    return group


def leave_sequence_parallel(engine: AttentionEngine) -> None:
    """Leave the groups that the engine keeps beside the model."""
    if engine is AttentionEngine.XFUSER and "parallel.xfuser_attention" in sys.modules:
        from parallel.xfuser_attention import leave_xfuser_groups  # noqa: PLC0415 - a heavy and optional import

        leave_xfuser_groups()


def _split_tokens(transformer: ModelMixin, layout: Layout, mesh: DeviceMesh, *, uneven: bool) -> None:
    """Enable the library's own context parallelism: the split of the tokens, and the attention."""
    config = ContextParallelConfig(
        ring_degree=layout.ring,
        ulysses_degree=layout.ulysses,
        mesh=mesh,
        ulysses_anything=uneven and layout.ulysses > 1,
        ring_anything=uneven and layout.ring > 1,
    )
    if transformer.device.type == "cpu":
        _enable_on_cpu(transformer, config)
        return
    if layout.ring > 1:
        transformer.set_attention_backend(_BACKEND_WITH_LSE)
    transformer.enable_parallelism(config=config)


def _enable_on_cpu(transformer: ModelMixin, config: ContextParallelConfig) -> None:
    if torch.cuda.is_available():
        raise RuntimeError(
            "the model is on the CPU and the process sees GPUs, which diffusers' attention would take instead: hide "
            "them with CUDA_VISIBLE_DEVICES=''"
        )
    from parallel import cpu  # noqa: PLC0415 - never imported where there is a GPU

    cpu.let_native_attention_return_lse()
    cpu.let_uneven_gathers_run_on_gloo()
    with cpu.one_accelerator():
        transformer.enable_parallelism(config=config)
