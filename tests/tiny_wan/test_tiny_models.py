"""The training forwards equal the stock models' own."""

import pytest
import torch

from tiny_wan.architecture import LATENT_SHAPE, TEXT_WIDTH, build_autoencoder, build_transformer
from tiny_wan.attention import PlainAttentionProcessor
from tiny_wan.sequence_vae import decode_latents, encode_moments


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("num_frames", [5, 17])
def test_encoding_a_whole_clip_equals_encoding_it_in_chunks(num_frames):
    vae = build_autoencoder(seed=1).eval()
    video = torch.rand(2, 3, num_frames, 48, 32) * 2 - 1
    mean, log_variance = encode_moments(vae, video)
    distribution = vae.encode(video).latent_dist
    torch.testing.assert_close(mean, distribution.mean, atol=1e-4, rtol=0)
    torch.testing.assert_close(log_variance, distribution.logvar, atol=1e-4, rtol=0)


@pytest.mark.parametrize("num_frames", [2, 5])
def test_decoding_a_whole_clip_equals_decoding_it_in_chunks(num_frames):
    vae = build_autoencoder(seed=2).eval()
    latents = torch.randn(2, LATENT_SHAPE[0], num_frames, 6, 4)
    whole = decode_latents(vae, latents).clamp(-1.0, 1.0)
    torch.testing.assert_close(whole, vae.decode(latents).sample, atol=1e-4, rtol=0)


def test_plain_attention_equals_the_stock_processor():
    transformer = build_transformer(seed=3).eval()
    inputs = {
        "hidden_states": torch.randn(2, *LATENT_SHAPE),
        "timestep": torch.tensor([900, 100]),
        "encoder_hidden_states": torch.randn(2, 24, TEXT_WIDTH),
    }
    stock = transformer(**inputs).sample
    for block in transformer.blocks:
        block.attn1.set_processor(PlainAttentionProcessor())
        block.attn2.set_processor(PlainAttentionProcessor())
    torch.testing.assert_close(transformer(**inputs).sample, stock, atol=1e-4, rtol=1e-4)


def test_the_architecture_is_wans():
    transformer = build_transformer()
    assert tuple(transformer.config.patch_size) == (1, 2, 2)
    assert len(transformer.blocks) >= 8
    _, frames, height, width = LATENT_SHAPE
    assert frames * (height // 2) * (width // 2) >= 160
    latents = build_autoencoder().encode(torch.zeros(1, 3, 17, 96, 96)).latent_dist.mode()
    assert tuple(latents.shape) == (1, *LATENT_SHAPE)
