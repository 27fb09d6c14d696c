"""Finished latents on disk, between denoising and publishing."""

import pytest
import torch

from orchestrator.latents_file import Denoised, read_latents, write_latents
from orchestrator.reports import RoundReport, Stage
from spectrum import Round

DENOISED = Denoised(
    latents=torch.randn(1, 16, 3, 8, 8, generator=torch.Generator().manual_seed(0)),
    rounds=(
        RoundReport(step=0, kind=Round.FULL, seconds=0.25),
        RoundReport(step=1, kind=Round.FORECAST, seconds=0.001),
    ),
    stage_seconds={Stage.ENCODE: 0.5, Stage.DENOISE: 2.0},
)


def test_what_is_read_is_what_was_written(tmp_path):
    write_latents(tmp_path / "latents.safetensors", DENOISED)
    read = read_latents(tmp_path / "latents.safetensors")
    assert torch.equal(read.latents, DENOISED.latents)
    assert read.rounds == DENOISED.rounds
    assert read.stage_seconds == DENOISED.stage_seconds


@pytest.mark.parametrize("length", [0, 100, -1])
def test_damaged_file_is_refused_with_what_to_do(tmp_path, length):
    path = tmp_path / "latents.safetensors"
    write_latents(path, DENOISED)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match="delete it to render the video again"):
        read_latents(path)
