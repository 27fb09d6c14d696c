import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel.layout import (
    AttentionEngine,
    Layout,
    LayoutError,
    Problem,
    check_layout,
    choose_layout,
    explain,
    possible_layouts,
    reasons_against,
    splits_evenly,
)

WAN_14B_480P = Problem(num_heads=40, num_tokens=32_760)
WAN_14B_720P = Problem(num_heads=40, num_tokens=75_600)
WAN_1_3B_480P = Problem(num_heads=12, num_tokens=32_760)
DEMO = Problem(num_heads=8, num_tokens=180)
DEMO_FLOAT32 = replace(DEMO, is_float32_on_gpu=True)

PROBLEMS = st.builds(
    Problem,
    num_heads=st.integers(1, 48),
    num_tokens=st.integers(1, 4000),
    is_guided=st.booleans(),
    engine=st.sampled_from(AttentionEngine),
    ranks_per_node=st.sampled_from([1, 2, 4, 8]),
)


def test_ranks_are_the_product_of_the_degrees():
    assert Layout(cfg=2, ring=3, ulysses=4).world_size == 24
    assert Layout(cfg=2, ring=3, ulysses=4).sequence_degree == 12
    assert Layout().world_size == 1


def test_a_layout_is_written_without_the_axes_that_do_nothing():
    assert str(Layout(cfg=2, ring=3, ulysses=4)) == "cfg 2 × ring 3 × ulysses 4"
    assert str(Layout(ulysses=4)) == "ulysses 4"
    assert str(Layout()) == "one rank"


@pytest.mark.parametrize(
    ("degrees", "message"),
    [
        ({"cfg": 3}, "parallel.cfg=3 must be 1, or 2"),
        ({"ring": 0}, "parallel.ring=0 must be at least 1"),
        ({"ulysses": -1}, "parallel.ulysses=-1 must be at least 1"),
    ],
)
def test_a_degree_that_cannot_be_is_named(degrees, message):
    with pytest.raises(LayoutError, match=message):
        Layout(**degrees)


@pytest.mark.parametrize(
    ("num_ranks", "problem", "expected"),
    [
        (1, WAN_14B_480P, Layout()),
        (2, WAN_14B_480P, Layout(cfg=2)),
        (8, WAN_14B_480P, Layout(cfg=2, ulysses=4)),
        (8, WAN_14B_720P, Layout(cfg=2, ulysses=4)),
        (16, WAN_14B_480P, Layout(cfg=2, ulysses=8)),
        (8, WAN_1_3B_480P, Layout(cfg=2, ulysses=4)),
        (16, WAN_1_3B_480P, Layout(cfg=2, ring=2, ulysses=4)),
        (7, WAN_14B_480P, Layout(ring=7)),
        (8, Problem(num_heads=40, num_tokens=32_760, is_guided=False), Layout(ulysses=8)),
        (48, WAN_14B_720P, Layout(cfg=2, ring=3, ulysses=8)),
        (4, DEMO, Layout(cfg=2, ulysses=2)),
    ],
)
def test_the_chosen_layout_keeps_branches_apart_and_ulysses_within_a_node(num_ranks, problem, expected):
    assert choose_layout(num_ranks, problem) == expected


def test_a_number_of_ranks_without_a_layout_names_the_nearest_that_have_one():
    xfuser = Problem(num_heads=8, num_tokens=180, engine=AttentionEngine.XFUSER)
    with pytest.raises(
        LayoutError, match=r"no layout of 7 ranks fits.*nearest possible: .*\(6 ranks\), .*\(8 ranks\)"
    ):
        choose_layout(7, xfuser)


@pytest.mark.parametrize(
    ("layout", "problem", "reason"),
    [
        (Layout(cfg=2), Problem(num_heads=8, num_tokens=180, is_guided=False), "cfg 2 needs two guidance branches"),
        (Layout(ulysses=3), DEMO, "ulysses 3 does not divide the model's 8 attention heads"),
        (Layout(ring=2, ulysses=4), DEMO, "180 tokens do not divide into 8 slices, which works with ring or ulysses"),
        (Layout(ring=181), DEMO, r"fewer tokens \(180\) than slices \(181\)"),
        (
            Layout(ulysses=8),
            Problem(num_heads=8, num_tokens=180, engine=AttentionEngine.XFUSER),
            "180 tokens do not divide into 8 slices, which only the diffusers engine can do",
        ),
        (Layout(ring=2), DEMO_FLOAT32, "a ring computes attention on GPUs in bfloat16 or float16 alone"),
        (
            Layout(cfg=2, ulysses=2),
            replace(DEMO_FLOAT32, engine=AttentionEngine.XFUSER),
            "the xfuser engine computes attention on GPUs in bfloat16 or float16 alone, and model.dtype is float32",
        ),
    ],
)
def test_an_impossible_layout_is_refused_with_the_reason_and_with_possible_ones(layout, problem, reason):
    with pytest.raises(LayoutError, match=reason) as refusal:
        check_layout(layout, problem)
    assert "possible" in str(refusal.value).split(reason[:10])[-1]


@pytest.mark.parametrize(("num_ranks", "problem"), [(5, WAN_14B_480P), (6, DEMO), (16, WAN_1_3B_480P)])
def test_in_float32_on_gpus_no_ring_is_chosen(num_ranks, problem):
    rings = [layout.ring for layout in possible_layouts(num_ranks, problem)]
    in_float32 = replace(problem, is_float32_on_gpu=True)
    assert max(rings) > 1
    assert {layout.ring for layout in possible_layouts(num_ranks, in_float32)} <= {1}


@pytest.mark.parametrize("layout", [Layout(ulysses=8), Layout(ring=7), Layout(cfg=2, ulysses=8)])
def test_slices_of_unequal_length_go_with_one_axis_of_the_diffusers_engine(layout):
    check_layout(layout, DEMO)
    assert not splits_evenly(layout, DEMO)


@given(problem=PROBLEMS, num_ranks=st.integers(1, 64))
def test_what_is_called_possible_divides_what_it_must(problem, num_ranks):
    for layout in possible_layouts(num_ranks, problem):
        assert layout.world_size == num_ranks
        assert problem.num_heads % layout.ulysses == 0
        assert layout.cfg == 1 or problem.is_guided
        assert layout.sequence_degree <= problem.num_tokens
        if not splits_evenly(layout, problem):
            assert problem.engine is AttentionEngine.DIFFUSERS
            assert 1 in (layout.ring, layout.ulysses)


@given(problem=PROBLEMS, cfg=st.sampled_from([1, 2]), ring=st.integers(1, 8), ulysses=st.integers(1, 8))
def test_a_layout_is_possible_or_has_a_reason_against_it(problem, cfg, ring, ulysses):
    layout = Layout(cfg=cfg, ring=ring, ulysses=ulysses)
    assert (layout in possible_layouts(layout.world_size, problem)) == (not reasons_against(layout, problem))


def test_the_explanation_says_what_each_rank_holds():
    assert explain(Layout(cfg=2, ring=2, ulysses=4), WAN_14B_480P) == (
        "the two guidance branches on 8 ranks each; 4095 of 32760 tokens a rank; 10 of 40 heads a rank in "
        "self-attention; keys and values gathered from 2 ranks"
    )
    assert explain(Layout(ulysses=8), DEMO).startswith("22 or one more of 180 tokens a rank")
    assert "across nodes" in explain(Layout(ulysses=20), WAN_14B_480P)
    assert explain(Layout(), DEMO) == "everything on one rank"


def test_layouts_are_checked_without_torch():
    program = "import sys, parallel.layout; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
