"""Gangs on Ray against one process: one whose ranks hold half of each block and decode together, one that leaves the
decoding to a worker beside it."""

import imageio.v3 as imageio
import numpy as np
import pytest

from orchestrator.artifacts import RunFolder, sha256_of
from orchestrator.devices import count_gpus

pytestmark = pytest.mark.skipif(count_gpus() > 0, reason="the demo renders on the CPU")

SMALL = (
    *("+job=demo", "prompt=a large red circle", "denoise.num_steps=8"),
    *("video.height=64", "video.width=64", "video.num_frames=9"),
)
ALONE = ("cluster=none", "parallel=auto")
SPREAD = ("parallel.cfg=2", "parallel.ulysses=1", "parallel.shard_blocks=true", "decode.parallel=true")

BESIDE = ("decode.workers=1",)


@pytest.fixture(scope="module")
def rendered(launch, model_folder, tmp_path_factory) -> dict:
    folders = {}
    for name, arguments in (("alone", ALONE), ("spread", SPREAD), ("beside", BESIDE)):
        root = tmp_path_factory.mktemp(name) / "run"
        done = launch(*SMALL, *arguments, f"model.path={model_folder}", f"output={root}")
        assert done.returncode == 0, done.stderr
        [record] = root.glob("*/video.json")
        folders[name] = RunFolder(root).video(record.parent.name)
    return folders


def test_frames_are_those_of_one_process_but_for_rounding(rendered):
    alone, spread = (imageio.imread(rendered[name].video).astype(int) for name in ("alone", "spread"))
    assert np.abs(alone - spread).max() <= 1
    assert alone.std() > 10


def test_record_says_how_the_model_was_spread(rendered):
    spread, alone = (rendered[name].read_sidecar() for name in ("spread", "alone"))
    assert (spread["layout"]["cfg"], spread["layout"]["ranks"]) == (2, 2)
    assert spread["layout"]["shard_blocks"] and spread["decode"]["parallel"]
    assert not alone["layout"]["shard_blocks"] and not alone["decode"]["parallel"]


def test_neither_spreading_nor_decoding_together_makes_it_another_video(rendered):
    assert rendered["alone"].root.name == rendered["spread"].root.name


def test_video_that_a_worker_decodes_is_the_same_to_the_byte(rendered):
    assert sha256_of(rendered["beside"].video) == sha256_of(rendered["alone"].video)
    record = rendered["beside"].read_sidecar()
    assert record["decode"]["worker"] and record["layout"]["ulysses"] == 2
    assert {"encode", "denoise", "decode", "publish"} <= set(record["seconds"]["stages"])
    assert not rendered["beside"].latents.exists()
