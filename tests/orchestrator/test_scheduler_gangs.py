"""Gangs that join and leave the pool while a batch goes on, on a virtual clock."""

import pytest
from bookkeeping import BookkeepingPool, Diary, Gang, begun_by, render
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.artifacts import RunFolder
from orchestrator.errors import GangFailed
from orchestrator.pool import GangLost


class ChangingPool(BookkeepingPool):
    """Has a further gang from a moment on, and lets go a gang that it has lost."""

    def __init__(self, num_gangs: int, *, joins_at: float, lost_command: int, seed: int) -> None:
        super().__init__(num_gangs, seed=seed, failures={lost_command: "rank 0 died"})
        self.joins_at = joins_at
        self.told: list[int] = []

    def expect(self, num_videos: int) -> None:
        self.told.append(num_videos)
        if self.now >= self.joins_at and num_videos > len(self._gangs) and "new" not in self._gangs:
            self._gangs["new"] = Gang(is_ready=False, ready_at=self.now + 2.0)

    def next_event(self, timeout):
        event = super().next_event(timeout)
        if isinstance(event, GangLost) and len(self._gangs) > 1:
            del self._gangs[event.gang]
        return event


@settings(deadline=None, max_examples=40)
@given(
    size=st.integers(1, 8),
    num_gangs=st.integers(1, 3),
    joins_at=st.floats(0, 30),
    lost_command=st.integers(1, 60),
    seed=st.integers(0, 99),
)
def test_every_video_is_rendered_whichever_gangs_come_and_go(tmp_path_factory, make_batch, size, **drawn):
    run_folder, batch, diary = RunFolder(tmp_path_factory.mktemp("run")), make_batch(size), Diary()
    pool = ChangingPool(drawn.pop("num_gangs"), **drawn)
    outcome = render(pool, batch, run_folder, diary)
    assert not outcome.failed
    assert sorted(diary.done) == sorted(batch)


def test_pool_is_told_how_many_videos_wait_or_are_with_gangs(tmp_path, make_batch):
    pool = ChangingPool(1, joins_at=1e9, lost_command=1000, seed=0)
    render(pool, make_batch(3), RunFolder(tmp_path))
    assert pool.told[0] == 3
    assert sorted(set(pool.told)) == [1, 2, 3]
    assert pool.told == sorted(pool.told, reverse=True)


def test_gang_that_joins_is_given_videos_that_wait(tmp_path, make_batch):
    pool = ChangingPool(1, joins_at=3.0, lost_command=1000, seed=0)
    render(pool, make_batch(4), RunFolder(tmp_path))
    assert any(command.method == "publish" for command in pool.commands["new"])
    assert len(begun_by(pool)) == 4


class GrowingPool(BookkeepingPool):
    """Builds its gang anew before the second video."""

    def __init__(self, *, takes: float) -> None:
        super().__init__(1)
        self.takes = takes
        self.asked = 0

    def enlarge(self, gang):
        at = self._gangs[gang]
        assert at.is_ready and at.command is None, "only a gang that has nothing to do"
        self.asked += 1
        if self.asked != 2:
            return False
        at.is_ready, at.ready_at = False, self.now + self.takes
        return True


def test_gang_that_is_built_anew_for_more_ranks_goes_on_with_the_next_video(tmp_path, make_batch):
    pool, batch, diary = GrowingPool(takes=60.0), make_batch(3), Diary()
    outcome = render(pool, batch, RunFolder(tmp_path), diary)
    assert not outcome.failed and sorted(diary.done) == sorted(batch)
    assert len(begun_by(pool)) == 3, "no video was lost by it"
    assert not diary.lost
    assert pool.asked == 4


def test_gang_that_is_built_anew_and_does_not_come_back_ends_the_batch(tmp_path, make_batch):
    with pytest.raises(GangFailed, match="the cluster has no room for one"):
        render(GrowingPool(takes=1e9), make_batch(3), RunFolder(tmp_path))


class BrokenNeighbour(GrowingPool):
    """Its second gang can never be built."""

    def __init__(self, *, lost_command: int) -> None:
        BookkeepingPool.__init__(self, 2, failures={lost_command: "rank 0 died"})
        self.takes, self.asked = 5.0, 0 if lost_command > 1000 else 10
        self._gangs["gang 1"].ready_at = 1e9
        self.fails_at = 0.5

    def next_event(self, timeout):
        if self.now >= self.fails_at:
            self.fails_at = self.now + 0.5
            return GangLost(gang="gang 1", cause="rank 0 failed: bad GPU", details="")
        return super().next_event(timeout)


@pytest.mark.parametrize("lost_command", [14, 10_000])
def test_gang_that_cannot_be_built_does_not_end_the_batch_when_the_other_is_lost_or_enlarged(
    tmp_path, make_batch, lost_command
):
    pool, batch, diary = BrokenNeighbour(lost_command=lost_command), make_batch(4), Diary()
    outcome = render(pool, batch, RunFolder(tmp_path), diary)
    assert not outcome.failed and sorted(diary.done) == sorted(batch)
    assert len(diary.lost) > 6


def test_last_video_is_not_said_to_be_one_of_two(tmp_path, make_batch):
    """A pool that would enlarge its gang for others to come must not do so for it."""
    pool, expected = GrowingPool(takes=1.0), []
    pool.enlarge = lambda _gang: expected.append(pool.expected)
    render(pool, make_batch(3), RunFolder(tmp_path))
    assert expected == [3, 2, 1]
