"""What each rank of a gang does for the tests of this folder; see `gang.py`."""

import torch
import torch.distributed as dist
from diffusers import WanTransformer3DModel

from parallel.apply import apply_sequence_parallel
from parallel.layout import Layout, LayoutError
from parallel.process_group import check_world
from parallel.token_group import TokenGroup, join_token_group

NUM_TOKENS = 16
CPU = torch.device("cpu")


def message_of(kind: type[Exception], function, *arguments, **keywords) -> str:
    """What the exception says that the call raises."""
    try:
        function(*arguments, **keywords)
    except kind as error:
        return str(error)
    return "nothing was raised"


def use_token_group(rank: int, world_size: int) -> dict:
    group = join_token_group(Layout(ulysses=world_size), rank=rank, device_type="cpu")
    tokens = torch.arange(2 * NUM_TOKENS * 3, dtype=torch.float32).reshape(2, NUM_TOKENS, 3)
    embeds = torch.linspace(-1, 1, 12).reshape(1, 4, 3).to(torch.bfloat16)
    piece = group.slice(tokens)
    return {
        "slice": piece.clone(),
        "gathered": group.gather(piece, NUM_TOKENS),
        "gathered_bfloat16": group.gather(piece.to(torch.bfloat16), NUM_TOKENS),
        "broadcast": group.broadcast(embeds.mT if rank == 0 else None, CPU),
        "largest": group.largest(10 * (rank + 1), CPU),
        "uneven": group.gather(group.slice(tokens[:, 1:]), NUM_TOKENS - 1),
        "world_size": dist.get_world_size() if dist.is_initialized() else 1,
        "wrong_world": message_of(ValueError, check_world, Layout(ulysses=world_size + 1)),
    }


def make_transformer() -> WanTransformer3DModel:
    torch.manual_seed(0)
    transformer = WanTransformer3DModel(
        num_attention_heads=4,
        attention_head_dim=12,
        text_dim=16,
        freq_dim=32,
        ffn_dim=64,
        num_layers=3,
        rope_max_seq_len=32,
    )
    return transformer.eval().requires_grad_(False)


def run_transformer(rank: int, world_size: int) -> dict:
    """One forward of a random transformer on 2 × 2 × 4 tokens; and what else one may ask of the function."""
    transformer = make_transformer()
    too_many = message_of(LayoutError, apply_sequence_parallel, transformer, Layout(ulysses=3), rank=rank)
    other_world = 1 if world_size == 4 else 4
    wrong_world = message_of(ValueError, apply_sequence_parallel, transformer, Layout(ulysses=other_world), rank=rank)
    group = apply_sequence_parallel(transformer, Layout(ulysses=world_size), rank=rank)
    return {**_forward(transformer, group), "too_many": too_many, "wrong_world": wrong_world}


def run_transformer_with_local_attention(rank: int, world_size: int) -> dict:
    """The same, but each rank's tokens attend to that rank's tokens only: what a mistake would look like."""
    transformer = make_transformer()
    group = apply_sequence_parallel(transformer, Layout(ulysses=world_size), rank=rank)
    for block in transformer.blocks:
        block.attn1.processor._parallel_config = None
    return _forward(transformer, group)


def _forward(transformer: WanTransformer3DModel, group: TokenGroup) -> dict:
    features = []
    transformer.blocks[-1].register_forward_hook(lambda _module, _inputs, output: features.append(output))
    generator = torch.Generator().manual_seed(1)
    output = transformer(
        hidden_states=torch.randn(1, 16, 2, 4, 8, generator=generator),
        timestep=torch.tensor([700]),
        encoder_hidden_states=torch.randn(1, 6, 16, generator=generator),
        return_dict=False,
    )[0]
    [features_BSW] = features
    return {"output": output, "features": features_BSW, "gathered_features": group.gather(features_BSW, NUM_TOKENS)}


def do_everything(rank: int, world_size: int) -> dict:
    count = torch.accelerator.device_count
    return {
        "token_group": use_token_group(rank, world_size),
        "transformer": run_transformer(rank, world_size),
        "local_attention": run_transformer_with_local_attention(rank, world_size),
        "device_count_kept": torch.accelerator.device_count is count,
    }
