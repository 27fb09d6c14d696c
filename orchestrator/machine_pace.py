"""How long a full round takes on this machine's CPU, for want of an earlier run: from one block's."""

from time import perf_counter

import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed, WanTransformerBlock

from parallel.render_case import NUM_BRANCHES
from parallel.wan_shapes import VideoSize, WanShape, pass_flops

_REPEATS = 3
_MOST_TOKENS = 2048
"""More would take minutes; what they take follows from the arithmetic."""


@torch.no_grad()
def full_round_seconds(model: WanShape, size: VideoSize, *, num_threads: int) -> float:
    """Seconds of one full round, both branches, of a whole video on one rank, in float32.

    Args:
        model: whose block is timed.
        size: of the video.
        num_threads: of the rank.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        frames, rows, columns = (size.num_frames - 1) // 4 + 1, size.height // 16, size.width // 16
        while frames * rows * columns > _MOST_TOKENS and frames > 1:
            frames = max(frames // 2, 1)
        num_tokens = frames * rows * columns
        # Each latent patch is 1×2×2: what the rotary embedding is told of.
        rotary = WanRotaryPosEmbed(model.head_width, (1, 2, 2), 1024)(
            torch.empty(1, 16, frames, 2 * rows, 2 * columns)
        )
        block = WanTransformerBlock(model.width, model.feed_forward, model.num_heads, cross_attn_norm=True).eval()
        hidden = torch.randn(1, num_tokens, model.width)
        text, time = torch.randn(1, model.num_text_tokens, model.width), torch.randn(1, 6, model.width)
        taken = []
        for _ in range(1 + _REPEATS):
            begin = perf_counter()
            block(hidden, text, time, rotary)
            taken.append(perf_counter() - begin)
    finally:
        torch.set_num_threads(before)
    longer = pass_flops(model, size.num_tokens).total / pass_flops(model, num_tokens).total
    return NUM_BRANCHES * model.num_blocks * min(taken[1:]) * longer
