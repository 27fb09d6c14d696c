"""A model's parts, loaded as they will be used."""

import json
import shutil

import pytest
import torch

from orchestrator.loading import load_scheduler, load_transformer, load_vae, vae_scales

CPU = torch.device("cpu")


def test_transformer_is_ready_for_inference(model_folder, pipe):
    transformer = load_transformer(model_folder, device=CPU, dtype=torch.float32)
    assert not transformer.training
    assert not any(parameter.requires_grad for parameter in transformer.parameters())
    expected = pipe.transformer.state_dict()
    loaded = transformer.state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)
    assert not any(tensor.is_meta for tensor in loaded.values())


def test_transformer_has_the_dtype_but_for_what_diffusers_keeps_in_float32(model_folder):
    transformer = load_transformer(model_folder, device=CPU, dtype=torch.bfloat16)
    by_dtype = {dtype: [] for dtype in (torch.bfloat16, torch.float32)}
    for name, parameter in transformer.named_parameters():
        by_dtype[parameter.dtype].append(name)
    kept = transformer._keep_in_fp32_modules
    assert by_dtype[torch.float32]
    assert all(any(part in name for part in kept) for name in by_dtype[torch.float32])
    assert "blocks.0.attn1.to_q.weight" in by_dtype[torch.bfloat16]


def test_autoencoder_is_float32_and_its_scales_are_its_configurations(model_folder):
    vae = load_vae(model_folder, device=CPU)
    assert {parameter.dtype for parameter in vae.parameters()} == {torch.float32}
    assert not vae.training
    assert vae_scales(model_folder) == (8, 4)
    assert vae_scales(model_folder) == (vae.config.scale_factor_spatial, vae.config.scale_factor_temporal)


def test_scales_that_the_configuration_leaves_out_are_wans(model_folder, tmp_path):
    config = json.loads((model_folder / "vae" / "config.json").read_text())
    del config["scale_factor_spatial"], config["scale_factor_temporal"]
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text(json.dumps(config))
    assert vae_scales(tmp_path) == (8, 4)


def test_scheduler_has_the_models_settings(model_folder):
    config = json.loads((model_folder / "scheduler" / "scheduler_config.json").read_text())
    loaded = load_scheduler(model_folder).config
    assert loaded["prediction_type"] == config["prediction_type"] == "flow_prediction"
    assert loaded["flow_shift"] == config["flow_shift"]


def test_damaged_weights_are_an_error_and_not_a_random_model(model_folder, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(model_folder, folder)
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(Exception, match=r"(?i)safetensors|incomplete|metadata|corrupt"):
        load_transformer(folder, device=CPU, dtype=torch.float32)
