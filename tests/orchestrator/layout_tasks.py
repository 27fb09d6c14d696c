"""What each rank of a gang does for `test_layouts_agree.py`; see `tests/parallel/gang.py`."""

from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.demo_model import REQUEST
from benchmarks.rank_engine import build, counted_collectives
from orchestrator.decode import decode_latents
from parallel.layout import AttentionEngine, Layout, Problem, splits_evenly
from spectrum import ForecastSettings

SIZES = {"even": (64, 96, 9, 50), "uneven": (80, 80, 17, 20)}
"""Height, width, frames, steps: 72 tokens, and 125."""

LAYOUTS = {
    1: [("even", {}, "diffusers"), ("uneven", {}, "diffusers")],
    2: [
        ("even", {"ulysses": 2}, "diffusers"),
        ("even", {"cfg": 2}, "diffusers"),
        ("even", {"ring": 2}, "diffusers"),
        ("uneven", {"ulysses": 2}, "diffusers"),
        ("uneven", {"ring": 2}, "diffusers"),
        ("uneven", {"cfg": 2}, "diffusers"),
        # Last, as xfuser keeps its groups for the life of a process.
        ("even", {"ulysses": 2}, "xfuser"),
    ],
    4: [
        ("even", {"ulysses": 4}, "diffusers"),
        ("even", {"cfg": 2, "ulysses": 2}, "diffusers"),
        ("even", {"ring": 2, "ulysses": 2}, "diffusers"),
        ("uneven", {"ulysses": 4}, "diffusers"),
        ("uneven", {"cfg": 2, "ulysses": 2}, "diffusers"),
        ("even", {"ring": 2, "ulysses": 2}, "xfuser"),
    ],
}


def render(
    rank: int, *, model: str, size: str, layout: Layout, engine: str, is_attention_local: bool = False
) -> dict:
    """One video with forecasts, on the demo model."""
    height, width, num_frames, num_steps = SIZES[size]
    request = replace(
        REQUEST,
        prompt="a large red circle moving left on a dark blue background",
        height=height,
        width=width,
        num_frames=num_frames,
        num_steps=num_steps,
        forecast=ForecastSettings(),
    )
    num_tokens = ((num_frames - 1) // 4 + 1) * (height // 16) * (width // 16)
    rank_engine = build(
        Path(model),
        layout=layout,
        rank=rank,
        device=torch.device("cpu"),
        dtype=torch.float32,
        max_sequence_length=24,
        attention=AttentionEngine(engine),
        uneven=not splits_evenly(layout, Problem(num_heads=8, num_tokens=num_tokens)),
    )
    if is_attention_local:
        for block in rank_engine.transformer.blocks:
            block.attn1.processor._parallel_config = None
    block_calls = []
    for block in rank_engine.transformer.blocks:
        block.register_forward_hook(lambda *_arguments: block_calls.append(state.step))
    state = rank_engine.start(request)
    noise = rank_engine.group.gather(state.tokens, num_tokens)
    with counted_collectives(state) as counts:
        while not state.is_denoised:
            rank_engine.engine.run_segment(state)
    latents = rank_engine.engine.finish(state)
    return {
        "noise": noise,
        "latents": latents,
        "frames": decode_latents(rank_engine.vae, latents) if rank == 0 else None,
        "rounds": tuple(one.kind for one in state.rounds),
        "collectives": [counts[step] for step in range(num_steps)],
        "block_calls": [block_calls.count(step) for step in range(num_steps)],
        "num_blocks": len(rank_engine.transformer.blocks),
    }


def render_every_layout(rank: int, world_size: int, *, model: str) -> dict:
    """By size, layout and engine; and for two ranks a control whose attention stays on the rank."""
    results = {}
    for size, degrees, engine in LAYOUTS[world_size]:
        layout = Layout(**degrees)
        results[size, str(layout), engine] = render(rank, model=model, size=size, layout=layout, engine=engine)
    if world_size == 2:
        layout = Layout(ulysses=2)
        results["control"] = render(
            rank, model=model, size="even", layout=layout, engine="diffusers", is_attention_local=True
        )
    return results
