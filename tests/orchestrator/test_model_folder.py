"""Where a model is found, and what tells it from another."""

import shutil

import pytest

from orchestrator.errors import BadInput
from orchestrator.model_folder import PARTS, find_model, model_fingerprint, transformer_heads


@pytest.fixture
def folder(model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "model")
    return tmp_path / "model"


def test_local_folder_is_found_from_the_working_directory(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert find_model("model") == folder
    assert find_model(str(folder)) == folder


def test_project_folder_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_model("tiny_wan/weights").name == "weights"


def test_heads_are_the_transformers(folder):
    assert transformer_heads(folder) == 8


def test_name_that_the_hub_does_not_give_is_refused(monkeypatch):
    """Offline, as on most clusters."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BadInput, match=r"model\.path=nobody/nothing .* could not be had from the hub"):
        find_model("nobody/nothing")


def test_copies_have_the_same_fingerprint(folder, model_folder, tmp_path):
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert model_fingerprint(folder) == model_fingerprint(model_folder) == model_fingerprint(tmp_path / "elsewhere")


def test_files_that_no_part_reads_do_not_change_the_fingerprint(folder):
    before = model_fingerprint(folder)
    (folder / "README.md").write_text("a model")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "lock").write_bytes(b"\xff")
    (folder / "examples").mkdir()
    (folder / "examples" / "cat.png").write_bytes(b"\xff\xfe")
    assert model_fingerprint(folder) == before


@pytest.mark.parametrize("part", PARTS)
def test_any_change_of_a_configuration_changes_the_fingerprint(folder, part):
    before = model_fingerprint(folder)
    [file, *_] = sorted((folder / part).glob("*.json"))
    file.write_text(file.read_text().rstrip("}\n ") + ', "x": 1}')
    assert model_fingerprint(folder) != before


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_weights_of_another_size_change_the_fingerprint(folder, part):
    before = model_fingerprint(folder)
    [file] = (folder / part).glob("*.safetensors")
    with file.open("ab") as weights:
        weights.write(b"\0")
    assert model_fingerprint(folder) != before


def test_linked_files_count_as_the_files_they_lead_to(folder, tmp_path):
    """The hub's own folders are made of links."""
    before = model_fingerprint(folder)
    for file in (folder / "transformer").iterdir():
        blob = tmp_path / f"blob-{file.name}"
        file.rename(blob)
        file.symlink_to(blob)
    assert model_fingerprint(folder) == before


@pytest.mark.parametrize("name", [".DS_Store", "model.gguf", "preview.png"])
def test_binary_files_beside_the_weights_do_no_harm(folder, name):
    (folder / "transformer" / name).write_bytes(b"\xff\xfe\x00")
    assert model_fingerprint(folder)
