"""A Wan transformer and pipeline small enough to denoise 50 steps in a fraction of a second."""

from collections.abc import Callable, Iterable, Iterator

import pytest
import torch
from diffusers import UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from torch import nn

TEXT_DIM = 16


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors of a few elements: waiting for threads would take most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_transformer() -> Callable[..., WanTransformer3DModel]:
    """Random transformers; the same seed gives the same weights."""

    def make(*, seed: int = 0, dtype: torch.dtype = torch.float32) -> WanTransformer3DModel:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            transformer = WanTransformer3DModel(
                num_attention_heads=4,
                attention_head_dim=12,
                text_dim=TEXT_DIM,
                freq_dim=32,
                ffn_dim=64,
                num_layers=3,
                rope_max_seq_len=32,
            )
        return transformer.to(dtype).eval()

    return make


@pytest.fixture
def make_pipe(make_transformer) -> Callable[..., WanPipeline]:
    """Pipelines without text encoder and VAE: they take prompt embeddings and return latents."""

    def make(transformer: WanTransformer3DModel | None = None, scheduler=None, **components) -> WanPipeline:
        unipc = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
        pipe = WanPipeline(
            tokenizer=None,
            text_encoder=None,
            vae=None,
            scheduler=scheduler or unipc,
            transformer=make_transformer() if transformer is None else transformer,
            **components,
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make


@pytest.fixture
def render() -> Callable[..., torch.Tensor]:
    """One video's latents (1, 16, 2, 4, 4), that is 8 tokens, from a pipeline."""

    def run(
        pipe: WanPipeline, num_steps: int, *, seed: int = 0, guidance_scale: float = 5.0, on_step_end=None, width=32
    ) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        embeds = torch.randn(2, 1, 6, TEXT_DIM, generator=generator)
        return pipe(
            prompt_embeds=embeds[0],
            negative_prompt_embeds=embeds[1],
            height=32,
            width=width,
            num_frames=5,
            num_inference_steps=num_steps,
            guidance_scale=guidance_scale,
            generator=generator,
            output_type="latent",
            callback_on_step_end=on_step_end,
        ).frames

    return run


class ForwardCount:
    """Counts the forwards of some modules."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self.total = 0
        for module in modules:
            module.register_forward_hook(self._on_forward)

    def _on_forward(self, module: nn.Module, args: object, output: object) -> None:
        self.total += 1


@pytest.fixture
def count_forwards() -> Callable[[Iterable[nn.Module]], ForwardCount]:
    return ForwardCount
