"""The four untrained parts of the model, all of the classes that Wan2.1 uses in diffusers."""

from typing import Any, Final

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from tiny_wan.captions import vocabulary

HEIGHT: Final = 96
WIDTH: Final = 96
NUM_FRAMES: Final = 17
FRAMES_PER_SECOND: Final = 8
LATENT_SHAPE: Final = (16, 5, 12, 12)
"""Channels, frames, height, width of one video's latents: 4x8x8 compression, 180 tokens of 1x2x2."""
MAX_SEQUENCE_LENGTH: Final = 24
"""Text tokens a caption is padded to, in training and in `WanPipeline(max_sequence_length=...)`."""
TEXT_WIDTH: Final = 128
FLOW_SHIFT: Final = 3.0
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"


def build_autoencoder(seed: int = 0, **overrides: Any) -> AutoencoderKLWan:
    """A randomly initialised autoencoder: 17x96x96 pixels to 5x12x12 latents of 16 channels."""
    torch.manual_seed(seed)
    settings: dict[str, Any] = {
        "base_dim": 16,
        "z_dim": LATENT_SHAPE[0],
        "dim_mult": [1, 2, 4],
        "num_res_blocks": 1,
        "temperal_downsample": [True, True],
        "in_channels": 12,
        "out_channels": 12,
        "patch_size": 2,
        "scale_factor_temporal": 4,
        "scale_factor_spatial": 8,
        "latents_mean": [0.0] * LATENT_SHAPE[0],
        "latents_std": [1.0] * LATENT_SHAPE[0],
    }
    return AutoencoderKLWan(**(settings | overrides))


def build_transformer(seed: int = 0) -> WanTransformer3DModel:
    """A randomly initialised transformer: 8 blocks, 8 heads of 24, 192 wide."""
    torch.manual_seed(seed)
    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=8,
        attention_head_dim=24,
        in_channels=LATENT_SHAPE[0],
        out_channels=LATENT_SHAPE[0],
        text_dim=TEXT_WIDTH,
        freq_dim=128,
        ffn_dim=768,
        num_layers=8,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=64,
    )


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of whole words; words it does not know become one token, so every prompt is legal."""
    words = [PAD, END, UNKNOWN, *vocabulary()]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, words.index(END))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        model_max_length=MAX_SEQUENCE_LENGTH,
        padding_side="right",
    )


def build_text_encoder(seed: int = 0) -> UMT5EncoderModel:
    """A randomly initialised text encoder: 2 layers, 128 wide, 4 heads of 32."""
    torch.manual_seed(seed)
    config = UMT5Config(
        vocab_size=3 + len(vocabulary()),
        d_model=TEXT_WIDTH,
        d_kv=32,
        d_ff=256,
        num_layers=2,
        num_decoder_layers=1,
        num_heads=4,
        dropout_rate=0.0,
        relative_attention_num_buckets=16,
        relative_attention_max_distance=MAX_SEQUENCE_LENGTH,
        pad_token_id=0,
        eos_token_id=1,
    )
    return UMT5EncoderModel(config)


def build_scheduler() -> UniPCMultistepScheduler:
    """The solver that Wan2.1 ships with, set for flow matching."""
    return UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=FLOW_SHIFT, num_train_timesteps=1000
    )
