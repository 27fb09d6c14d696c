"""What real ranks did, run once for all tests of this folder."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def results(gang):
    """By number of ranks, then by rank: what `token_tasks.do_everything` returned."""
    return gang(Path(__file__).with_name("token_tasks.py"), "do_everything", [1, 2, 4])


@pytest.fixture(scope="session")
def in_memory(gang, model_folder):
    """By number of ranks, then by rank: what `memory_tasks.shard_and_decode` returned."""
    return gang(
        Path(__file__).with_name("memory_tasks.py"),
        "shard_and_decode",
        [1, 2, 4],
        timeout=300,
        model=str(model_folder),
    )
