"""Which degrees a video can be split by, and what is said of the others."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel.layout import Layout, LayoutError, check_layout, possible_degrees


@given(
    num_heads=st.integers(1, 64),
    num_tokens=st.integers(1, 100_000),
    max_ranks=st.integers(1, 64),
)
def test_possible_degrees_are_all_that_divide_heads_and_tokens(num_heads, num_tokens, max_ranks):
    degrees = possible_degrees(num_heads=num_heads, num_tokens=num_tokens, max_ranks=max_ranks)
    assert degrees[0] == 1
    assert degrees == sorted(set(degrees))
    for degree in range(1, max_ranks + 1):
        assert (degree in degrees) == (num_heads % degree == 0 and num_tokens % degree == 0)
    assert degrees[-1] <= max_ranks


@given(num_heads=st.integers(1, 64), num_tokens=st.integers(1, 100_000), ulysses=st.integers(1, 128))
def test_check_accepts_exactly_the_degrees_that_are_possible(num_heads, num_tokens, ulysses):
    possible = num_heads % ulysses == 0 and num_tokens % ulysses == 0
    try:
        check_layout(Layout(ulysses=ulysses), num_heads=num_heads, num_tokens=num_tokens)
    except LayoutError as error:
        assert not possible
        assert f"parallel.ulysses={ulysses} " in str(error)
        assert (f"{num_heads} attention heads" in str(error)) == (num_heads % ulysses != 0)
        assert (f"{num_tokens} tokens" in str(error)) == (num_tokens % ulysses != 0)
    else:
        assert possible


def test_refusal_lists_the_degrees_that_would_do():
    with pytest.raises(LayoutError) as refused:
        check_layout(Layout(ulysses=16), num_heads=40, num_tokens=32_760)
    assert str(refused.value) == (
        "parallel.ulysses=16 does not divide the model's 40 attention heads nor the video's 32760 tokens; "
        "possible here: 1, 2, 4, 5, 8, 10, 20"
    )


@pytest.mark.parametrize("degree", [0, -1, -8])
def test_degree_below_one_is_refused(degree):
    with pytest.raises(LayoutError, match=f"parallel.ulysses={degree} must be at least 1"):
        Layout(ulysses=degree)


def test_ranks_of_a_gang_are_the_ulysses_degree():
    assert [Layout(ulysses=degree).world_size for degree in (1, 2, 8)] == [1, 2, 8]
    assert Layout() == Layout(ulysses=1)


def test_layouts_are_checked_without_torch():
    imported = subprocess.run(
        [sys.executable, "-c", "import parallel.layout, sys; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert imported.stdout.strip() == "False"
