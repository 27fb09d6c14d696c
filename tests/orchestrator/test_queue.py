"""The order of videos, against a plain list."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.queue import PATIENCE, VideoQueue, Waiting

waiting = st.lists(st.tuples(st.integers(-2, 2), st.sampled_from("abc")), max_size=40)


def fill(drawn) -> VideoQueue:
    return VideoQueue(
        Waiting(video_id=str(index), priority=priority, shape=shape) for index, (priority, shape) in enumerate(drawn)
    )


@given(drawn=waiting)
def test_without_preference_it_is_priority_and_then_order(drawn):
    queue = fill(drawn)
    taken = [queue.take()[0] for _ in range(len(queue))]
    assert taken == [str(i) for i in sorted(range(len(drawn)), key=lambda index: (-drawn[index][0], index))]


@given(drawn=waiting, preferences=st.lists(st.sampled_from("abcd"), min_size=40, max_size=40))
def test_every_video_is_taken_once_and_none_before_a_higher_priority(drawn, preferences):
    queue = fill(drawn)
    taken = [queue.take(preferred) for preferred in preferences[: len(drawn)]]
    assert sorted(int(name) for name, _ in taken) == list(range(len(drawn)))
    priorities = [drawn[int(name)][0] for name, _ in taken]
    assert priorities == sorted(priorities, reverse=True)
    assert all(drawn[int(name)][1] == shape for name, shape in taken)


def test_gang_stays_with_its_shape_where_nobody_waits_long():
    queue = fill([(0, "a"), (0, "b"), (0, "a"), (0, "b")])
    shapes = [queue.take("a")[1] for _ in range(4)]
    assert shapes == ["a", "a", "b", "b"]


def test_no_shape_starves():
    queue = fill([(0, "b"), *[(0, "a")] * 100])
    taken = [queue.take("a")[1] for _ in range(PATIENCE + 1)]
    assert taken == ["a"] * PATIENCE + ["b"]


def test_put_back_video_goes_behind_the_others_of_its_priority():
    queue = fill([(0, "a"), (0, "a"), (-1, "a")])
    name, shape = queue.take()
    queue.add(Waiting(video_id=name, priority=0, shape=shape))
    assert [queue.take()[0] for _ in range(3)] == ["1", "0", "2"]


def test_video_put_first_is_taken_before_the_others_of_its_priority():
    queue = fill([(1, "a"), (0, "a"), (0, "b")])
    for name, shape in (("c", "b"), ("d", "a")):
        queue.add_first(Waiting(video_id=name, priority=0, shape=shape))
    assert [queue.take()[0] for _ in range(5)] == ["0", "d", "c", "1", "2"]


@given(drawn=st.lists(st.tuples(st.integers(-2, 2), st.sampled_from("abc"), st.booleans()), max_size=40))
def test_order_is_that_of_one_list_for_each_priority_with_some_put_before_it(drawn):
    queue, expected = VideoQueue(), {priority: [] for priority in range(2, -3, -1)}
    for index, (priority, shape, is_first) in enumerate(drawn):
        one = Waiting(video_id=str(index), priority=priority, shape=shape)
        if is_first:
            queue.add_first(one)
            expected[priority].insert(0, str(index))
        else:
            queue.add(one)
            expected[priority].append(str(index))
    assert [queue.take()[0] for _ in drawn] == list(chain.from_iterable(expected.values()))


def test_empty_queue_has_nothing_to_give():
    with pytest.raises(IndexError, match="no video"):
        VideoQueue().take()
