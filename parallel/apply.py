"""Put sequence parallelism on a finished transformer."""

from contextlib import AbstractContextManager, nullcontext

import torch
from diffusers import ContextParallelConfig, ModelMixin
from torch.distributed.device_mesh import init_device_mesh

from parallel.layout import Layout, LayoutError
from parallel.process_group import check_world
from parallel.token_group import TokenGroup


def apply_sequence_parallel(transformer: ModelMixin, layout: Layout, *, rank: int) -> TokenGroup:
    """Split the tokens of every forward of `transformer` over the ranks of the default process group.

    diffusers' context parallelism does the work on the stock model: the hidden states are sliced at the first block
    and gathered after `proj_out`; self-attention exchanges heads for tokens (Ulysses). So the output of the last
    block is this rank's slice of the tokens. With one rank the model is left as it is.

    Args:
        transformer: on its device, weights loaded. A forecaster may be on it already or be put on it later.
        layout: ranks of the gang.
        rank: this process.

    Returns:
        The group that slices and gathers tokens as the model does.

    Raises:
        LayoutError: the degree does not divide the model's attention heads.
        ValueError: the process group has another number of ranks.
    """
    num_heads = transformer.config.num_attention_heads
    if num_heads % layout.ulysses:
        raise LayoutError(f"{layout} does not divide the model's {num_heads} attention heads")
    check_world(layout)
    if layout.ulysses > 1:
        on_cpu = transformer.device.type == "cpu"
        mesh = init_device_mesh(transformer.device.type, (1, layout.ulysses), mesh_dim_names=("ring", "ulysses"))
        config = ContextParallelConfig(ulysses_degree=layout.ulysses, mesh=mesh)
        with _cpu_support() if on_cpu else nullcontext():
            transformer.enable_parallelism(config=config)
    return TokenGroup(layout=layout, rank=rank)


def _cpu_support() -> AbstractContextManager[None]:
    from parallel.cpu import one_accelerator  # noqa: PLC0415 - never imported where there is a GPU

    assert not torch.cuda.is_available()
    return one_accelerator()
