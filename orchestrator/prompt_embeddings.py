"""Embeddings of prompts, encoded ahead of the rendering and kept on disk by content."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from orchestrator.artifacts import publish
from orchestrator.loading import load_text_encoder
from orchestrator.rank import RankSpec
from orchestrator.request import content_hash
from orchestrator.text import TextEncoder

log = logging.getLogger("orchestrator")

AHEAD_SECONDS = 120.0
"""After which no further text is encoded ahead of its video: torchrun's other ranks wait, and not for ever."""


class PromptEmbeddings:
    """A cache of one model's embeddings in a folder, and the encoder that fills it.

    The encoder (11 GB for Wan2.1) is loaded when a text is missing, and let go as soon as all that were asked for
    are there: it does not stand in memory while videos are rendered.
    """

    def __init__(self, folder: Path, load_encoder: Callable[[], TextEncoder], *, identity: str) -> None:
        """`identity` names model, dtype and length: everything but the text that decides an embedding."""
        self._folder = folder
        self._load_encoder = load_encoder
        self._identity = identity

    def prepare(self, texts: Sequence[str], *, seconds: float = inf) -> int:
        """Encode the texts that are missing, then let the encoder go.

        Args:
            texts: the more urgent first.
            seconds: after which no further text is begun, once the encoder is there.

        Returns:
            How many of the first texts are there now: all of them, if there was time and each could be encoded. One
            that cannot be is for its own video to fail with.
        """
        first = {text: index for index, text in reversed(list(enumerate(texts)))}
        missing = sorted(index for text, index in first.items() if self._read(text) is None)
        if not missing:
            return len(texts)
        encoder, deadline = self._load_encoder(), monotonic() + seconds
        there = len(texts)
        for index in missing:
            if index > missing[0] and monotonic() > deadline:
                there = index
                break
            try:
                self._encode(encoder, texts[index])
            except Exception as error:
                log.warning("the text %.80r cannot be encoded ahead of its video: %s", texts[index], error)
                there = index
                break
        del encoder
        _free_memory()
        return there

    def get(self, text: str) -> torch.Tensor:
        """The text's embedding (1, text tokens, text width), on the CPU; encoded now if nobody has prepared it."""
        if (embedding := self._read(text)) is None:
            self._encode(self._load_encoder(), text)
            _free_memory()
            embedding = self._read(text)
            assert embedding is not None
        return embedding

    def _encode(self, encoder: TextEncoder, text: str) -> None:
        embedding = encoder.encode_text(text).cpu().contiguous()
        with publish(self._path(text)) as temporary:
            save_file({"embedding": embedding}, temporary)

    def _path(self, text: str) -> Path:
        return self._folder / f"{content_hash([self._identity, text])[:32]}.safetensors"

    def _read(self, text: str) -> torch.Tensor | None:
        path = self._path(text)
        if not path.is_file():
            return None
        try:
            # Copied, as what is read is a map of the file: it would break if the file were written meanwhile.
            embedding: torch.Tensor = load_file(path)["embedding"].clone()
        except (SafetensorError, KeyError):
            log.warning("%s is damaged and is made again", path)
            return None
        return embedding


def _free_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def open_embeddings(spec: RankSpec, device: torch.device, dtype: torch.dtype) -> PromptEmbeddings:
    """Those of a rank's model, whose encoder is loaded on the rank's device or the CPU, as the model says."""
    model = spec.model
    return PromptEmbeddings(
        spec.embeddings,
        partial(
            load_text_encoder,
            model.folder,
            device=device if model.text_device is spec.device else torch.device("cpu"),
            dtype=dtype,
            max_sequence_length=model.max_sequence_length,
        ),
        identity=f"{model.fingerprint} {model.dtype} {model.max_sequence_length} {model.text_device}",
    )
