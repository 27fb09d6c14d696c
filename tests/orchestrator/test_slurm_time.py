"""Time limits as people and SLURM write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import BadInput
from orchestrator.slurm_time import format_time, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("8h", 28_800), ("90m", 5400), ("45min", 2700), ("1d12h", 129_600), ("2H30M", 9000)),
        *(("30", 1800), ("30:15", 1815), ("08:00:00", 28_800), ("1-12", 129_600)),
        *(("1-12:30", 131_400), ("2-00:00:10", 172_810)),
    ],
)
def test_what_people_and_slurm_write(text, seconds):
    assert parse_time(text, "slurm.time") == seconds


@pytest.mark.parametrize("text", ["", "soon", "8x", "-1", "1:2:3:4", "0", "0h", "h", "8 h 3", "1.5h"])
def test_what_cannot_be_read_names_the_field_and_examples(text):
    with pytest.raises(BadInput, match=r"slurm\.time=.* must be a time such as 8h"):
        parse_time(text, "slurm.time")


@given(st.integers(min_value=1, max_value=10**7))
def test_what_is_written_is_read_again(seconds):
    assert parse_time(format_time(seconds), "t") == seconds
