"""Embeddings that are encoded ahead and kept by content."""

import pytest
import torch

from orchestrator.prompt_embeddings import PromptEmbeddings
from orchestrator.text import TextEncoder


class Loader:
    """Loads the real encoder, and counts how often."""

    def __init__(self, pipe) -> None:
        self.times = 0
        self._pipe = pipe

    def __call__(self) -> TextEncoder:
        self.times += 1
        return TextEncoder(self._pipe.tokenizer, self._pipe.text_encoder, max_sequence_length=24)


@pytest.fixture
def loader(pipe):
    return Loader(pipe)


def test_embedding_is_the_encoders(loader, tmp_path):
    cached = PromptEmbeddings(tmp_path, loader, identity="m").get("a red circle")
    assert torch.equal(cached, loader().encode_text("a red circle"))


def test_each_text_is_encoded_once_and_the_encoder_loaded_once_for_all(loader, tmp_path):
    embeddings = PromptEmbeddings(tmp_path, loader, identity="m")
    assert embeddings.prepare(["one", "two", "one", ""]) == 4
    assert len(list(tmp_path.iterdir())) == 3
    assert embeddings.prepare(["two", ""]) == 2
    embeddings.get("one")
    assert PromptEmbeddings(tmp_path, loader, identity="m").prepare(["one", "two"]) == 2
    assert loader.times == 1


def test_texts_for_which_there_is_no_time_are_left_for_later(loader, tmp_path):
    embeddings = PromptEmbeddings(tmp_path, loader, identity="m")
    assert embeddings.prepare(["one", "two", "three"], seconds=-1.0) == 1
    assert embeddings.prepare(["one", "two", "three"], seconds=-1.0) == 2
    assert embeddings.prepare(["three", "one"]) == 2
    assert len(list(tmp_path.iterdir())) == 3


def test_another_model_has_embeddings_of_its_own(loader, tmp_path):
    PromptEmbeddings(tmp_path, loader, identity="m").prepare(["one"])
    PromptEmbeddings(tmp_path, loader, identity="other").prepare(["one"])
    assert loader.times == 2


def test_damaged_embedding_is_made_again(loader, tmp_path):
    embeddings = PromptEmbeddings(tmp_path, loader, identity="m")
    whole = embeddings.get("one")
    [file] = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    assert torch.equal(embeddings.get("one"), whole)


@pytest.mark.parametrize("text", ["../../etc/passwd", "a/b", "\n", "🎈" * 1000, "$(rm -rf /)"])
def test_any_text_stays_in_the_folder(loader, tmp_path, text):
    folder = tmp_path / "embeddings"
    PromptEmbeddings(folder, loader, identity="m").prepare([text])
    assert len(list(folder.iterdir())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["embeddings"]


def test_text_that_cannot_be_encoded_fails_its_own_video_alone(pipe, tmp_path):
    class Choosy(TextEncoder):
        def encode_text(self, text):
            if text == "bad":
                raise ValueError("bad text")
            return super().encode_text(text)

    def load() -> TextEncoder:
        return Choosy(pipe.tokenizer, pipe.text_encoder, max_sequence_length=24)

    embeddings = PromptEmbeddings(tmp_path, load, identity="m")
    assert embeddings.prepare(["one", "two", "bad", "three"]) == 2
    assert len(list(tmp_path.iterdir())) == 2
    assert embeddings.prepare(["bad", "three"]) == 0
    with pytest.raises(ValueError, match="bad text"):
        embeddings.get("bad")
