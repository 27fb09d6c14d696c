"""What real ranks did, run once for all tests of this folder."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def results(gang):
    """By number of ranks, then by rank: what `token_tasks.do_everything` returned."""
    return gang(Path(__file__).with_name("token_tasks.py"), "do_everything", [1, 2, 4])
