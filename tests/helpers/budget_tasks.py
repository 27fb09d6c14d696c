"""What each rank of a gang does for `test_error_budget.py`; see `tests/parallel/gang.py`."""

import random
from dataclasses import replace

import torch
from diffusers import UniPCMultistepScheduler, WanTransformer3DModel

from benchmarks.demo_model import REQUEST
from orchestrator.engine import Branch, Engine
from parallel.apply import apply_sequence_parallel
from parallel.layout import Layout
from spectrum import ForecastSettings

LAYOUTS = {1: [{}], 4: [{"ulysses": 4}, {"ring": 2, "ulysses": 2}, {"cfg": 2, "ulysses": 2}]}
NUM_BUDGETS = 70
SMALL = replace(REQUEST, height=32, width=32, num_frames=5, num_steps=8)


def settings_of(index: int) -> ForecastSettings:
    """Drawn alike on every rank."""
    drawn = random.Random(index)
    return ForecastSettings(
        method=drawn.choice(["reuse", "damped", "spectrum", "taylor"]),
        order=drawn.randint(1, 3),
        features=drawn.choice(["hidden", "velocity"]),
        error_budget=10 ** drawn.uniform(-3, 0),
        max_gap=drawn.randint(1, 6),
        max_history=drawn.randint(1, 4),
    )


def make_engine(layout: Layout, rank: int) -> Engine:
    """A transformer with random weights, the same on every rank: what it draws does not matter here."""
    torch.manual_seed(0)
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=8,
        attention_head_dim=12,
        in_channels=16,
        out_channels=16,
        text_dim=8,
        freq_dim=16,
        ffn_dim=32,
        num_layers=1,
        rope_max_seq_len=32,
    )
    return Engine(
        transformer=transformer.eval().requires_grad_(False),
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000
        ),
        token_group=apply_sequence_parallel(transformer, layout, rank=rank),
        spatial_scale=8,
        temporal_scale=4,
    )


def make_embeds() -> dict[Branch, torch.Tensor]:
    """Of a prompt of four tokens, and of none."""
    prompt = torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(9))
    return {Branch.COND: prompt, Branch.UNCOND: torch.zeros(1, 4, 8)}


def render_budgets(rank: int, world_size: int) -> dict:
    """By layout: plan, errors and latents of every drawn budget."""
    results = {}
    embeds = make_embeds()
    for degrees in LAYOUTS[world_size]:
        layout = Layout(**degrees)
        engine = make_engine(layout, rank)
        of_layout = []
        for index in range(NUM_BUDGETS):
            state = engine.start(replace(SMALL, seed=index, forecast=settings_of(index)), embeds)
            while not state.is_denoised:
                engine.run_segment(state)
            of_layout.append(
                {
                    "full_steps": state.plan.full_steps,
                    "rounds": [one.kind for one in state.rounds],
                    "errors": [one.forecast_error for one in state.rounds],
                    "fallbacks": [one.step for one in state.rounds if one.is_fallback],
                    "latents": engine.finish(state),
                }
            )
        results[str(layout)] = of_layout
    return results
