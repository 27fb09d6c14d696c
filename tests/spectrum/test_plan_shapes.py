"""Plans with a given number of full rounds."""

import itertools
from math import cos, pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectrum import node_plan, uniform_plan

NODES_14 = (0, 2, 5, 8, 12, 17, 22, 27, 32, 37, 41, 44, 47, 49)
NODES_10 = (0, 3, 8, 14, 21, 28, 35, 41, 46, 49)


@pytest.mark.parametrize("expected", [NODES_14, NODES_10])
def test_nodes_between_uniform_and_chebyshev_lobatto(expected):
    assert node_plan(50, len(expected)).full_steps == expected


@given(data=st.data(), num_steps=st.integers(1, 120), density=st.floats(0, 1))
def test_every_plan_has_its_full_rounds_first_and_last_among_them(data, num_steps, density):
    num_full = data.draw(st.integers(1, num_steps))
    plan = node_plan(num_steps, num_full, density=density)
    assert plan.num_full == num_full and len(plan) == num_steps
    assert plan.full_steps[0] == 0
    assert num_full == 1 or plan.full_steps[-1] == num_steps - 1


def test_density_one_is_chebyshev_lobatto():
    ideal = [round(99 * (1 - cos(pi * k / 9)) / 2) for k in range(10)]
    assert list(node_plan(100, 10, density=1.0).full_steps) == ideal


def test_uniform_gaps_differ_by_one_at_most():
    steps = uniform_plan(50, 14).full_steps
    gaps = {later - earlier for earlier, later in itertools.pairwise(steps)}
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((50, 0, 0.6), "num_full=0"), ((50, 51, 0.6), "num_full=51"), ((50, 9, 1.5), "density=1.5")],
)
def test_a_bad_argument_is_named_with_its_value(arguments, message):
    num_steps, num_full, density = arguments
    with pytest.raises(ValueError, match=message):
        node_plan(num_steps, num_full, density=density)
