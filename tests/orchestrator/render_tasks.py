"""What each rank of a gang does for `test_ranks_agree.py`; see `tests/parallel/gang.py`."""

from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from orchestrator.decode import decode_latents
from orchestrator.engine import Branch, Engine
from orchestrator.loading import load_scheduler, load_text_encoder, load_transformer, load_vae
from orchestrator.request import Request
from parallel.apply import apply_sequence_parallel
from parallel.layout import Layout
from spectrum import ForecastSettings, Method

CPU = torch.device("cpu")


class CollectiveCount(TorchDispatchMode):
    """Counts the collectives that are called inside."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.total += function.namespace in ("c10d", "_c10d_functional") and "wait" not in str(function)
        return function(*args, **(kwargs or {}))


def render(rank: int, world_size: int, *, model: str, num_steps: int, method: str, is_attention_local: bool) -> dict:
    """One video from prompt to frames, on the demo model.

    With `is_attention_local` each rank's tokens attend to that rank's tokens only: what a mistake would look like.
    """
    folder = Path(model)
    transformer = load_transformer(folder, device=CPU, dtype=torch.float32)
    group = apply_sequence_parallel(transformer, Layout(ulysses=world_size), rank=rank)
    if is_attention_local:
        for block in transformer.blocks:
            block.attn1.processor._parallel_config = None
    block_calls = []
    for block in transformer.blocks:
        block.register_forward_hook(lambda *_arguments: block_calls.append(1))
    engine = Engine(
        transformer=transformer,
        scheduler=load_scheduler(folder),
        token_group=group,
        spatial_scale=8,
        temporal_scale=4,
    )
    request = Request(
        prompt="a large red circle moving left on a dark blue background",
        negative_prompt="",
        seed=3,
        height=64,
        width=96,
        num_frames=9,
        fps=8,
        num_steps=num_steps,
        guidance_scale=5.0,
        flow_shift=3.0,
        forecast=ForecastSettings(method=Method(method)),
    )
    encoded = {}
    if rank == 0:
        encoder = load_text_encoder(folder, device=CPU, dtype=torch.float32, max_sequence_length=24)
        encoded = encoder.encode(request)
    state = engine.start(request, {branch: group.broadcast(encoded.get(branch), CPU) for branch in Branch})
    noise = group.gather(state.tokens, state.shape.num_tokens)
    segments = []
    while not state.is_denoised:
        block_calls.clear()
        with CollectiveCount() as collectives:
            rounds = engine.run_segment(state)
        segments.append((tuple(one.kind for one in rounds), len(block_calls), collectives.total))
    latents = engine.finish(state)
    return {
        "noise": noise,
        "latents": latents,
        "frames": decode_latents(load_vae(folder, device=CPU), latents) if rank == 0 else None,
        "num_blocks": len(transformer.blocks),
        "segments": segments,
    }


def render_and_control(rank: int, world_size: int, *, model: str) -> dict:
    """The 50-step video with forecasts; on two ranks also the same with attention that stays on the rank."""
    arguments = {"model": model, "num_steps": 50, "method": "spectrum"}
    video = render(rank, world_size, is_attention_local=False, **arguments)
    control = render(rank, world_size, is_attention_local=True, **arguments) if world_size == 2 else None
    return {"video": video, "control": control}
