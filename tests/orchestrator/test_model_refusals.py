"""A model folder that cannot be used is refused in one line, before anything is loaded."""

import json
import shutil

import pytest
from planning import refusal_of

from orchestrator.devices import count_gpus
from orchestrator.launch_plan import plan_launch

needs_no_gpu = pytest.mark.skipif(count_gpus() > 0, reason="for machines without a GPU")


@pytest.mark.parametrize("path", ["does/not/exist/at/all", "/nowhere", "no such folder", ""])
def test_model_folder_that_is_not_there_is_refused(config, monkeypatch, tmp_path, path):
    monkeypatch.chdir(tmp_path)
    config.model.path = path
    assert "model.path=" in refusal_of(config)


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_model_folder_that_lacks_a_part_is_refused(config, model_folder, tmp_path, part):
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    shutil.rmtree(folder / part)
    config.model.path = str(folder)
    message = refusal_of(config)
    assert f"model.path={folder}" in message
    assert f"lacks {part}" in message


@pytest.mark.parametrize(
    "missing",
    [
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer.json",
    ],
)
def test_model_folder_that_lacks_a_file_is_refused(config, model_folder, tmp_path, missing):
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    (folder / missing).unlink()
    config.model.path = str(folder)
    assert "model.path=" in refusal_of(config)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"num_attention_heads": "many"}'])
def test_model_folder_with_a_damaged_configuration_is_refused(config, model_folder, tmp_path, text):
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    (folder / "transformer" / "config.json").write_text(text)
    config.model.path = str(folder)
    assert "model.path=" in refusal_of(config)


def test_model_folder_of_another_model_is_refused(config, model_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    file = folder / "transformer" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"num_attention_heads": 12}))
    config.model.path = str(folder)
    message = refusal_of(config)
    assert "12 attention heads" in message and "has 8" in message


def test_model_folder_that_lacks_one_of_several_weight_files_is_refused(config, model_folder, tmp_path):
    """As a copy leaves it that was broken off. The index says which files there are."""
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    parts = [f"diffusion_pytorch_model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    (folder / "transformer" / "diffusion_pytorch_model.safetensors").rename(folder / "transformer" / parts[0])
    index = {"metadata": {}, "weight_map": dict(zip(("blocks.0.x", "blocks.1.x"), parts, strict=True))}
    (folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    config.model.path = str(folder)
    assert parts[1] in refusal_of(config)


def test_error_budget_of_another_model_is_refused_unless_told_otherwise(config):
    own = plan_launch(config).model.fingerprint[:16]
    config.forecast.error_budget, config.forecast.for_model = 0.1, "0123456789abcdef"
    message = refusal_of(config)
    for part in ("forecast.for_model=0123456789abcdef", own, "orchestrator.calibrate", "forecast.anywhere=true"):
        assert part in message
    config.forecast.error_budget = None
    plan_launch(config)
    config.forecast.error_budget, config.forecast.for_model = 0.1, own
    plan_launch(config)
    config.forecast.for_model, config.forecast.anywhere = "0123456789abcdef", True
    plan_launch(config)
