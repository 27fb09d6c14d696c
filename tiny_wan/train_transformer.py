"""Train the transformer and the text encoder together by flow matching on encoded clips."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from tiny_wan.architecture import MAX_SEQUENCE_LENGTH, build_text_encoder, build_tokenizer, build_transformer
from tiny_wan.attention import PlainAttentionProcessor
from tiny_wan.dataset import TRAINING_SEED, draw_clip
from tiny_wan.latents import Latents, load_latents
from tiny_wan.training import Budget, Moment, Trainer

STATE_FILE: Final = "transformer.pt"


@dataclass(kw_only=True, slots=True)
class TransformerSettings:
    """How the transformer and the text encoder are trained."""

    batch: int = 32
    """Clips per worker and step."""
    muon_rate: float = 0.02
    adam_rate: float = 2e-3
    shift: float = 2.0
    """Moves the drawn times towards noise, where rendering takes most of its steps."""
    uniform_times: float = 0.15
    """Part of the times drawn evenly instead of logit-normally, so that the ends are seen too."""
    caption_dropout: float = 0.1
    """Part of the captions replaced by the empty one, for guidance."""
    word_dropout: float = 0.02
    """Part of the words replaced by the unknown word, so that prompts with strange words work."""
    compile: bool = True


class TransformerTask:
    """A transformer and its text encoder with their data and their loss."""

    ema_decay = 0.995

    def __init__(self, settings: TransformerSettings, latents: Latents | None = None) -> None:
        self.settings = settings
        self.muon_rate, self.adam_rate = settings.muon_rate, settings.adam_rate
        self.transformer = build_transformer()
        self.text_encoder = build_text_encoder()
        self.matrices = [p for p in self.transformer.blocks.parameters() if p.ndim == 2]
        inner = {id(p) for p in self.matrices}
        parts = (self.transformer, self.text_encoder)
        self.others = [p for part in parts for p in part.parameters() if id(p) not in inner]
        if latents is not None:
            self._prepare(latents)

    def _prepare(self, latents: Latents) -> None:
        for block in self.transformer.blocks:
            block.attn1.set_processor(PlainAttentionProcessor())
            block.attn2.set_processor(PlainAttentionProcessor())
        if self.settings.compile:
            self.transformer.compile_repeated_blocks(fullgraph=True, dynamic=False)
        self.latents = latents.latents
        self.tokenizer = build_tokenizer()
        captions = [draw_clip(TRAINING_SEED, i).spec.caption for i in range(len(self.latents))]
        self.ids_NT, self.mask_NT = tokenize(self.tokenizer, captions)
        self.empty_T, self.empty_mask_T = (part[0] for part in tokenize(self.tokenizer, [""]))

    def loss(self, moment: Moment) -> Tensor:
        """Mean squared error of the predicted velocity."""
        rows = shuffled_rows(moment.indices(self.settings.batch), len(self.latents))
        clean = self.latents[rows].float()
        noise = torch.randn_like(clean)
        sigma_B = self._draw_sigmas(len(rows))
        sigma = sigma_B.view(-1, 1, 1, 1, 1)
        ids, mask = self._draw_captions(rows)
        with torch.autocast("cpu", torch.bfloat16):
            embeds = encode_text(self.text_encoder, ids, mask)
            velocity = self.transformer(
                hidden_states=(1.0 - sigma) * clean + sigma * noise,
                timestep=(1000.0 * sigma_B).floor(),  # the solver's timesteps are whole numbers
                encoder_hidden_states=embeds,
                return_dict=False,
            )[0]
        return nn.functional.mse_loss(velocity.float(), noise - clean)

    def _draw_sigmas(self, batch: int) -> Tensor:
        settings = self.settings
        time = torch.sigmoid(torch.randn(batch))
        time = settings.shift * time / (1.0 + (settings.shift - 1.0) * time)
        return torch.where(torch.rand(batch) < settings.uniform_times, torch.rand(batch), time)

    def _draw_captions(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        ids, mask = self.ids_NT[rows], self.mask_NT[rows]
        strange = (torch.rand(ids.shape) < self.settings.word_dropout) & (ids > 2)
        ids = torch.where(strange, torch.tensor(self.tokenizer.unk_token_id), ids)
        dropped = (torch.rand(len(rows)) < self.settings.caption_dropout).unsqueeze(1)
        return torch.where(dropped, self.empty_T, ids), torch.where(dropped, self.empty_mask_T, mask)


def tokenize(tokenizer: Any, captions: list[str]) -> tuple[Tensor, Tensor]:
    """Token ids and mask of captions, each (captions, MAX_SEQUENCE_LENGTH), as the pipeline makes them."""
    tokens = tokenizer(
        captions, padding="max_length", max_length=MAX_SEQUENCE_LENGTH, truncation=True, return_tensors="pt"
    )
    return tokens.input_ids, tokens.attention_mask


def encode_text(text_encoder: Any, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Prompt embeddings (batch, tokens, width), zero past each caption's end as `WanPipeline` makes them."""
    embeds: Tensor = text_encoder(ids_BT, mask_BT).last_hidden_state
    return embeds * mask_BT.unsqueeze(-1)


def shuffled_rows(indices: range, num_rows: int) -> Tensor:
    """Rows of the data set for these sample numbers: every epoch is another permutation of all rows."""
    rows = []
    for index in indices:
        epoch, place = divmod(index, num_rows)
        rows.append(int(_permutation(epoch, num_rows)[place]))
    return torch.tensor(rows)


def _permutation(epoch: int, num_rows: int) -> Tensor:
    return torch.randperm(num_rows, generator=torch.Generator().manual_seed(epoch))


def train_transformer(settings: TransformerSettings, budget: Budget, folder: Path) -> None:
    """Train in this worker, resuming from and saving to `folder`.

    Raises:
        FileNotFoundError: the clips are not encoded yet.
    """
    latents = load_latents(folder)
    if latents is None:
        raise FileNotFoundError(f"no encoded clips in {folder}: run the stage latents first")
    Trainer(TransformerTask(settings, latents), budget, folder / STATE_FILE).run()
