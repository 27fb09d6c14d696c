"""Plans: the paper's, and what holds for every plan."""

from itertools import pairwise
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrum import Plan, Round, plan_rounds

# Sums of sixteenths are exact in floating point, so that the formula is the truth to the last bit.
SIXTEENTHS = st.integers(0, 80).map(lambda count: count / 16)
STEPS = st.integers(1, 150)
WARMUPS = st.integers(1, 12)


def gaps_after_warmup(plan: Plan, warmup_steps: int) -> list[int]:
    tail = plan.full_steps[warmup_steps - 1 :]
    return [later - earlier for earlier, later in pairwise(tail)]


@pytest.mark.parametrize(
    ("growth", "full_steps"),
    [
        (0.75, (0, 1, 2, 3, 4, 6, 8, 11, 15, 20, 25, 31, 38, 46)),
        (3, (0, 1, 2, 3, 4, 6, 11, 19, 30, 44)),
    ],
)
def test_fifty_steps_follow_the_papers_plan(growth, full_steps):
    plan = plan_rounds(50, growth=growth)
    assert plan.full_steps == full_steps
    assert plan.num_full == len(full_steps)


@pytest.mark.parametrize(("growth", "num_full"), [(0.25, 18), (0.5, 15), (0.75, 14), (1, 13), (2, 11), (3, 10)])
def test_faster_growth_leaves_fewer_full_rounds(growth, num_full):
    assert plan_rounds(50, growth=growth).num_full == num_full


@settings(deadline=None)
@given(num_steps=STEPS, warmup_steps=WARMUPS, window=st.floats(1, 20), growth=st.floats(0, 10))
def test_every_plan_starts_full_and_its_gaps_never_shrink(num_steps, warmup_steps, window, growth):
    plan = plan_rounds(num_steps, warmup_steps=warmup_steps, window=window, growth=growth)
    assert len(plan) == num_steps
    assert plan[0] is Round.FULL
    assert all(kind is Round.FULL for kind in plan[:warmup_steps])
    gaps = gaps_after_warmup(plan, warmup_steps)
    assert gaps == sorted(gaps)
    assert all(gap >= floor(window) for gap in gaps)


@settings(deadline=None)
@given(num_steps=STEPS, warmup_steps=WARMUPS, window=SIXTEENTHS.map(lambda value: 1 + value), growth=SIXTEENTHS)
def test_gap_k_is_window_plus_k_growths_and_as_many_gaps_as_fit(num_steps, warmup_steps, window, growth):
    plan = plan_rounds(num_steps, warmup_steps=warmup_steps, window=window, growth=growth)
    gaps = gaps_after_warmup(plan, warmup_steps)
    assert gaps == [floor(window + k * growth) for k in range(len(gaps))]
    if num_steps > warmup_steps:
        assert plan.full_steps[-1] + floor(window + len(gaps) * growth) >= num_steps


@pytest.mark.parametrize("growth", [0.1, 0.3, 0.4, 0.6, 0.8])
def test_gaps_follow_the_formula_at_decimal_growths(growth):
    gaps = gaps_after_warmup(plan_rounds(100, growth=growth), 5)
    assert gaps == [floor(2 + k * growth) for k in range(len(gaps))]


@settings(deadline=None)
@given(num_steps=STEPS, chosen=st.sets(st.integers(1, 149)))
def test_segments_partition_the_steps(num_steps, chosen):
    plan = Plan.from_full_steps(num_steps, [0, *(step for step in chosen if step < num_steps)])
    starts = []
    step = 0
    while step < num_steps:
        starts.append(step)
        end = plan.segment_end(step)
        assert step < end <= num_steps
        assert {plan.segment_end(inside) for inside in range(step, end)} == {end}
        step = end
    assert step == num_steps
    assert tuple(starts) == plan.full_steps


@settings(deadline=None)
@given(num_steps=STEPS, chosen=st.sets(st.integers(1, 149)))
def test_a_plan_made_from_full_steps_has_exactly_those(num_steps, chosen):
    full_steps = (0, *sorted(step for step in chosen if step < num_steps))
    plan = Plan.from_full_steps(num_steps, full_steps)
    assert plan.full_steps == full_steps
    assert plan.num_full == len(full_steps)
    assert [step for step in range(num_steps) if plan[step] is Round.FULL] == list(full_steps)


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_a_video_no_longer_than_the_warmup_is_all_full(num_steps):
    assert plan_rounds(num_steps, warmup_steps=5).full_steps == tuple(range(num_steps))


def test_without_growth_the_gaps_stay_as_wide_as_the_window():
    assert plan_rounds(12, warmup_steps=2, window=3, growth=0).full_steps == (0, 1, 4, 7, 10)
    assert plan_rounds(12, warmup_steps=2, window=1, growth=0).num_full == 12


def test_two_ranks_with_one_configuration_hold_the_same_plan():
    assert plan_rounds(50) == plan_rounds(50)
    assert hash(plan_rounds(50)) == hash(plan_rounds(50))
    assert plan_rounds(50) != plan_rounds(50, growth=3)


def test_a_plan_is_a_sequence_of_rounds():
    plan = Plan.from_full_steps(4, [0, 2])
    expected = (Round.FULL, Round.FORECAST, Round.FULL, Round.FORECAST)
    assert tuple(plan) == expected
    assert plan[1:3] == expected[1:3]
    assert plan[-1] is Round.FORECAST
    with pytest.raises(IndexError):
        plan[4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_steps": 0}, "num_steps=0"),
        ({"num_steps": -3}, "num_steps=-3"),
        ({"warmup_steps": 0}, "warmup_steps=0"),
        ({"window": 0.5}, "window=0.5"),
        ({"window": float("nan")}, "window=nan"),
        ({"window": float("inf")}, "window=inf"),
        ({"growth": -0.25}, "growth=-0.25"),
        ({"growth": float("nan")}, "growth=nan"),
        ({"growth": float("inf")}, "growth=inf"),
    ],
)
def test_a_bad_argument_is_named_with_its_value(arguments, message):
    with pytest.raises(ValueError, match=message):
        plan_rounds(**{"num_steps": 50, **arguments})


def test_full_steps_outside_the_video_are_named():
    with pytest.raises(ValueError, match=r"full_steps=\[-1, 50, 60\].*50 steps"):
        Plan.from_full_steps(50, [0, 60, 3, 50, -1])


def test_a_plan_cannot_begin_with_a_forecast():
    with pytest.raises(ValueError, match="first round of a plan must be full"):
        Plan.from_full_steps(5, [1, 2])
    with pytest.raises(ValueError, match="first round of a plan must be full"):
        Plan((Round.FORECAST, Round.FULL))


def test_a_plan_cannot_be_empty():
    with pytest.raises(ValueError, match="at least one round"):
        Plan(())
