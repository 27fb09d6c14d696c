"""A transformer whose blocks are spread over a gang renders what a whole one renders, from its own rows alone."""

import json
import shutil
import struct

import pytest
import torch

from spectrum import Round

NUM_BLOCKS = 8
CASES = [(2, "ulysses 2"), (2, "cfg 2"), (4, "cfg 2 × ulysses 2")]


@pytest.mark.parametrize(("world_size", "layout"), CASES)
def test_video_is_the_whole_models_to_the_last_bit(in_memory, world_size, layout):
    alone = in_memory[1][0]["one rank"]["whole"]["latents"]
    for rank in in_memory[world_size]:
        assert torch.equal(rank[layout]["whole"]["latents"], alone)
        assert torch.equal(rank[layout]["sharded"]["latents"], alone)


@pytest.mark.parametrize(("world_size", "layout"), CASES)
def test_rank_holds_and_reads_its_share_of_the_blocks_and_all_of_the_rest(in_memory, world_size, layout):
    whole = in_memory[1][0]["one rank"]["whole"]
    for rank in in_memory[world_size]:
        sharded = rank[layout]["sharded"]
        assert sharded["blocks"]["is_shared"] and not sharded["rest"]["is_shared"]
        assert sharded["rest"]["bytes"] == whole["rest"]["bytes"]
        share = whole["blocks"]["bytes"] / world_size
        # The small tensors whose first dimension is 1 are on the first rank.
        assert 0.9 * share <= sharded["blocks"]["bytes"] <= 1.1 * share
        # The file holds half precision, the model float32.
        assert sharded["read"] * 2 == sharded["blocks"]["bytes"] + sharded["rest"]["bytes"]


@pytest.mark.parametrize(("world_size", "layout"), CASES)
def test_forecast_rounds_gather_no_weights(in_memory, world_size, layout):
    for rank in in_memory[world_size]:
        of_whole, of_sharded = (rank[layout][name]["collectives"] for name in ("whole", "sharded"))
        assert of_sharded[Round.FORECAST] == of_whole[Round.FORECAST] == {1 if "cfg" in layout else 0}
        [of_whole_full], [of_sharded_full] = of_whole[Round.FULL], of_sharded[Round.FULL]
        passes = 1 if "cfg" in layout else 2
        assert of_sharded_full == of_whole_full + passes * NUM_BLOCKS, "each block's are gathered whenever it runs"


def test_weight_file_without_one_of_the_models_tensors_is_named(model_folder, tmp_path):
    from diffusers import WanTransformer3DModel

    from parallel.process_group import join_group, leave_group, open_store
    from parallel.sharded_blocks import load_sharded

    folder = tmp_path / "transformer"
    shutil.copytree(model_folder / "transformer", folder)
    rename_tensor(folder / "diffusion_pytorch_model.safetensors", "blocks.0.ffn.net.2.bias")
    store, _ = open_store("127.0.0.1")
    join_group(store, rank=0, world_size=1, device=torch.device("cpu"))
    try:
        with pytest.raises(ValueError, match=r"lack blocks\.0\.ffn\.net\.2\.bias"):
            load_sharded(WanTransformer3DModel, folder, device=torch.device("cpu"), dtype=torch.float32, world_size=1)
    finally:
        leave_group()


def rename_tensor(file, name: str) -> None:
    """In a safetensors file: a header's length, the header as JSON, the data."""
    data = file.read_bytes()
    [length] = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header["another"] = header.pop(name)
    written = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(written)) + written + data[8 + length :])
