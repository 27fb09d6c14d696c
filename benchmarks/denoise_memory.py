"""Peak memory of a full round of Wan2.1, counted without a GPU, beside what `parallel.render_memory` says.

One block stands for all: without gradients the next one takes the place of the last. The transformer runs on fake
tensors, which have shapes and no data, in bfloat16 on one rank. What is not counted: the workspaces of kernels and
the allocator's rounding; `python -m benchmarks.wan_rounds` measures a whole render where there is a GPU.

It takes seconds: --quick changes nothing but the sizes.
"""

from typing import Any

import torch
from diffusers import WanTransformer3DModel
from rich.console import Console
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.arguments import parser, write_json
from benchmarks.decode_memory import GIB, AliveBytes
from parallel.render_memory import MemoryCase, activation_bytes, transformer_parameters
from parallel.wan_shapes import SIZE_480P, SIZE_720P, WAN_1_3B, WAN_14B, VideoSize, WanShape


def fake_transformer(model: WanShape, *, num_blocks: int) -> WanTransformer3DModel:
    """The model's transformer in bfloat16; call it where fake tensors are made."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    made = WanTransformer3DModel(
        num_attention_heads=model.num_heads,
        attention_head_dim=model.head_width,
        ffn_dim=model.feed_forward,
        num_layers=num_blocks,
    )
    torch.set_default_dtype(before)
    return made.eval().requires_grad_(False)


@torch.no_grad()
def counted_bytes(model: WanShape, size: VideoSize) -> int:
    """Largest bytes alive beside the weights, in one pass of one branch."""
    with FakeTensorMode():
        transformer = fake_transformer(model, num_blocks=1)
        latents = torch.empty(
            1, 16, (size.num_frames - 1) // 4 + 1, size.height // 8, size.width // 8, dtype=torch.bfloat16
        )
        text = torch.empty(1, model.num_text_tokens, model.text_width, dtype=torch.bfloat16)
        with AliveBytes(beside=transformer.parameters()) as alive:
            transformer(hidden_states=latents, timestep=torch.empty(1), encoder_hidden_states=text, return_dict=False)
    return int(alive.peak)


def rows(sizes: list[VideoSize]) -> list[dict[str, Any]]:
    """The table."""
    made = []
    for model in (WAN_14B, WAN_1_3B):
        for size in sizes:
            counted = counted_bytes(model, size)
            modelled = activation_bytes(MemoryCase(model=model, size=size))
            made.append(
                {
                    "model": model.name,
                    "size": f"{size.height}×{size.width}×{size.num_frames}",
                    "weights_bytes": 2 * transformer_parameters(model),
                    "counted_bytes": counted,
                    "modelled_bytes": modelled,
                    "error": modelled / counted - 1,
                }
            )
    return made


def main() -> None:
    """Count and print."""
    arguments = parser(__doc__ or "").parse_args()
    sizes = [VideoSize(height=480, width=832, num_frames=17)] if arguments.quick else [SIZE_480P, SIZE_720P]
    console = Console()
    console.print("| model, size | weights, GiB | counted, GiB | modelled, GiB | error |\n|---|--:|--:|--:|--:|")
    figures = rows(sizes)
    for row in figures:
        sizes_gib = " | ".join(f"{row[f'{name}_bytes'] / GIB:.1f}" for name in ("weights", "counted", "modelled"))
        console.print(
            f"| {row['model']}, {row['size']} | {sizes_gib} | {row['error']:+.1%} |", highlight=False, soft_wrap=True
        )
    write_json(arguments.json, {"rows": figures})


if __name__ == "__main__":
    main()
