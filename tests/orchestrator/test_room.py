"""Ranks and gangs that have room on the nodes of a cluster."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.room import Room, most_gangs, slots_of


@pytest.mark.parametrize(
    ("nodes", "ranks", "gangs"),
    [((8,), 3, 2), ((8, 8), 8, 2), ((8, 8), 16, 1), ((8, 8, 8), 16, 1), ((6, 6), 4, 2), ((2, 2), 3, 1), ((), 1, 0)],
)
def test_gangs_keep_to_as_few_nodes_as_they_need(nodes, ranks, gangs):
    assert Room(nodes=nodes).gangs_that_fit(ranks) == gangs


@given(nodes=st.lists(st.integers(0, 9), max_size=6), ranks=st.integers(1, 20))
def test_gangs_that_fit_never_need_more_ranks_than_there_are(nodes, ranks):
    room = Room(nodes=tuple(nodes))
    assert room.gangs_that_fit(ranks) * ranks <= room.num_ranks


def test_no_more_gangs_begin_than_there_are_videos_but_one_at_least():
    room = Room(nodes=(8,))
    assert [most_gangs(room, 1, num_videos=number) for number in (0, 1, 5, 100)] == [1, 1, 5, 8]


def test_places_that_are_taken_leave_the_largest_nodes_whole():
    assert Room(nodes=(8, 2, 8)).without(3).nodes == (0, 7, 8)
    assert Room(nodes=(2,)).without(5).nodes == (0,)


def test_rank_needs_all_of_its_resources_on_a_node():
    per_rank = {"CPU": 2.0, "GPU": 1.0}
    assert slots_of({"CPU": 16.0, "GPU": 8.0}, per_rank=per_rank) == 8
    assert slots_of({"CPU": 5.0, "GPU": 8.0}, per_rank=per_rank) == 2
    assert slots_of({"CPU": 16.0}, per_rank=per_rank) == 0
