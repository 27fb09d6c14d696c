"""The encode stage: prompts become embeddings, as WanPipeline makes them."""

import torch
from diffusers import WanPipeline
from transformers import PreTrainedTokenizerBase, UMT5EncoderModel

from orchestrator.render_state import Branch, branches_of
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

    def encode(self, request: Request) -> dict[Branch, torch.Tensor]:
        """Embeddings (1, max_sequence_length, text width) for each branch that the request runs."""
        return {branch: self.encode_text(text) for branch, text in texts_of(request).items()}

    @torch.no_grad()
    def encode_text(self, text: str) -> torch.Tensor:
        """One text's embedding, (1, max_sequence_length, text width); zero past its last token."""
        embedding: torch.Tensor = self._pipeline.encode_prompt(
            prompt=text, do_classifier_free_guidance=False, max_sequence_length=self._max_sequence_length
        )[0]
        return embedding


def texts_of(request: Request) -> dict[Branch, str]:
    """What each branch of the request is told."""
    texts = {Branch.COND: request.prompt, Branch.UNCOND: request.negative_prompt}
    return {branch: texts[branch] for branch in branches_of(request)}
