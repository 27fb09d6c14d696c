"""What is known of a model without its weights."""

import pytest
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import UMT5EncoderModel

from orchestrator.config import ModelConfig
from orchestrator.errors import BadInput
from orchestrator.model_facts import model_facts
from parallel.wan_shapes import WAN_14B


def demo(model_folder, **changes) -> ModelConfig:
    given = {"num_attention_heads": 8, "dtype": "float32", "max_sequence_length": 24} | changes
    return ModelConfig(name="tiny_wan", path=str(model_folder), **given)


def test_folder_on_this_machine_says_shape_and_sizes(model_folder):
    facts = model_facts(demo(model_folder))
    transformer = WanTransformer3DModel.from_pretrained(model_folder, subfolder="transformer")
    vae = AutoencoderKLWan.from_pretrained(model_folder, subfolder="vae")
    text = UMT5EncoderModel.from_pretrained(model_folder, subfolder="text_encoder")
    assert facts.shape_parameters == sum(one.numel() for one in transformer.parameters())
    assert facts.vae_parameters == sum(one.numel() for one in vae.parameters())
    assert facts.text_parameters == pytest.approx(sum(one.numel() for one in text.parameters()), rel=0.01)
    assert (facts.value_bytes, facts.folder) == (4, model_folder.resolve())


def test_fingerprint_is_the_launchs_own(config, model_folder):
    from orchestrator.launch_plan import plan_launch

    assert model_facts(config.model).fingerprint == plan_launch(config).model.fingerprint


def test_published_model_is_known_by_name_though_it_is_not_here():
    facts = model_facts(ModelConfig(name="wan2.1_t2v_14b", path="nobody/has-this-model"))
    assert facts.shape == WAN_14B and facts.fingerprint is None and "not here" in facts.basis


def test_other_models_folder_and_unknown_names_are_refused(model_folder):
    with pytest.raises(BadInput, match="has 8 attention heads but model=tiny_wan has 12"):
        model_facts(demo(model_folder, num_attention_heads=12))
    with pytest.raises(BadInput, match="is not on this machine, and model=mine is not known by name"):
        model_facts(ModelConfig(name="mine", path="nobody/has-this-model"))
