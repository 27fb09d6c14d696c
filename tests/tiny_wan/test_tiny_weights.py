import json
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open

from tiny_wan.architecture import MAX_SEQUENCE_LENGTH
from tiny_wan.build import build, quick_settings
from tiny_wan.contact_sheet import contact_sheet
from tiny_wan.dataset import EVALUATION_SEED, HELD_OUT_SEED, draw_clip
from tiny_wan.evaluate import average_marks, load_pipeline, psnr, reconstruct, render
from tiny_wan.export import WEIGHTS
from tiny_wan.training import Budget

MAXIMUM_BYTES = 25_000_000
RECONSTRUCTION_DB = 30.0


@pytest.fixture(scope="module")
def pipeline():
    return load_pipeline()


def test_the_weights_are_small_and_in_half_precision():
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) <= MAXIMUM_BYTES
    files = list(WEIGHTS.rglob("*.safetensors"))
    assert len(files) == 3
    for path in files:
        with safe_open(path, framework="pt") as weights:
            assert {weights.get_slice(key).get_dtype() for key in weights.keys()} == {"F16"}  # noqa: SIM118


def test_other_versions_of_the_libraries_can_name_every_class():
    index = json.loads((WEIGHTS / "model_index.json").read_text())
    assert index["_class_name"] == "WanPipeline"
    assert index["tokenizer"] == ["transformers", "PreTrainedTokenizerFast"]
    tokenizer = json.loads((WEIGHTS / "tokenizer" / "tokenizer_config.json").read_text())
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_every_part_is_loaded_in_single_precision(pipeline):
    parts = (pipeline.vae, pipeline.transformer, pipeline.text_encoder)
    assert {part.dtype for part in parts} == {torch.float32}


def test_held_out_clips_come_through_the_autoencoder(pipeline):
    truth = np.stack([draw_clip(HELD_OUT_SEED, 1000 + index).frames() for index in range(6)])
    assert psnr(reconstruct(pipeline.vae, truth), truth).mean() >= RECONSTRUCTION_DB


def test_rendered_clips_show_their_captions(pipeline):
    captions = [draw_clip(EVALUATION_SEED, 1000 + index).spec.caption for index in range(8)]
    videos = render(pipeline, captions, num_steps=20)
    assert videos.shape == (8, 17, 96, 96, 3)
    marks = average_marks(videos, captions)
    assert marks["background"] >= 0.75
    assert marks["colour"] >= 0.75
    assert marks["shape"] >= 0.5
    assert marks["motion"] >= 0.5


def test_the_same_seed_renders_the_same_clip(pipeline):
    first, again = (render(pipeline, ["a red circle"], num_steps=2) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_strange_prompts_render_too(pipeline):
    videos = render(pipeline, ["", "日本語 🎈 quickly", "word " * 2 * MAX_SEQUENCE_LENGTH], num_steps=2)
    assert np.isfinite(videos).all()


def test_all_stages_run_and_make_a_folder_that_loads(tmp_path):
    settings = quick_settings(tmp_path, tmp_path / "weights")
    settings.num_workers = 0
    settings.autoencoder_budget = settings.transformer_budget = Budget(steps=1)
    build(settings)
    quick = load_pipeline(tmp_path / "weights")
    assert max(quick.vae.config.latents_std) != 1.0
    assert not list(tmp_path.glob("*.tmp"))
    shutil.rmtree(tmp_path / "weights")


def test_a_contact_sheet_holds_every_clip():
    videos = [draw_clip(EVALUATION_SEED, index).frames() for index in range(3)]
    sheet = contact_sheet(videos, ["a", "b", "c"], columns=2)
    assert sheet.size == (2 * (6 * 97 - 1 + 4) + 4, 2 * (96 + 14 + 4) + 4)
