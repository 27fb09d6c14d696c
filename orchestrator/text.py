"""The encode stage: prompts become embeddings, as WanPipeline makes them."""

import torch
from diffusers import WanPipeline
from transformers import PreTrainedTokenizerBase, UMT5EncoderModel

from orchestrator.engine import Branch
from orchestrator.request import Request


class TextEncoder:
    """The model's tokenizer and text encoder."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, encoder: UMT5EncoderModel, *, max_sequence_length: int
    ) -> None:
        # A pipeline without a transformer or autoencoder: its encode_prompt cleans, pads and trims as the model's
        # authors do, and needs no more than these two.
        self._pipeline = WanPipeline(
            tokenizer=tokenizer, text_encoder=encoder, vae=None, scheduler=None, transformer=None
        )
        self._max_sequence_length = max_sequence_length

    @torch.no_grad()
    def encode(self, request: Request) -> dict[Branch, torch.Tensor]:
        """Embeddings (1, max_sequence_length, text width) for each branch that the request runs."""
        cond, uncond = self._pipeline.encode_prompt(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            do_classifier_free_guidance=request.is_guided,
            max_sequence_length=self._max_sequence_length,
        )
        return {Branch.COND: cond, Branch.UNCOND: uncond} if request.is_guided else {Branch.COND: cond}
