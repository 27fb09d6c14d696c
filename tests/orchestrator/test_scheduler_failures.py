"""What becomes of lost gangs and of videos that fail, on a virtual clock."""

import json
from dataclasses import replace

import pytest
from bookkeeping import AFTERWARDS, BookkeepingPool, Diary, begun_by, finish, methods, render
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.artifacts import RunFolder
from orchestrator.errors import GangFailed
from orchestrator.policy import CheckpointState, Stop
from orchestrator.pool import GangLost
from spectrum import ForecastSettings

drawn_pools = st.builds(BookkeepingPool, st.integers(1, 4), seed=st.integers(0, 99))


@settings(deadline=None, max_examples=60)
@given(
    size=st.integers(1, 5),
    pool=drawn_pools,
    drawn=st.sets(st.integers(1, 120), max_size=8),
    state=st.sampled_from(CheckpointState),
)
def test_whatever_fails_every_video_is_done_once_at_the_end(  # noqa: PLR0917 - drawn
    tmp_path_factory, make_batch, size, pool, drawn, state
):
    run_folder, batch = RunFolder(tmp_path_factory.mktemp("run")), make_batch(size, num_steps=12)
    pool._failures = dict.fromkeys(drawn, "rank 1 on node died")
    diary = Diary()
    outcome = render(pool, batch, run_folder, diary, checkpoint_every=2.0, checkpoint_state=state, max_attempts=20)
    assert not outcome.failed
    assert sorted(diary.done) == sorted(batch)
    assert len(diary.lost) == len(pool.lost)
    for name in batch:
        assert not run_folder.video(name).attempts.exists()


def test_video_goes_on_from_its_checkpoint_after_its_gang_was_lost(tmp_path, make_batch):
    run_folder, batch = RunFolder(tmp_path), make_batch(1, num_steps=50)
    pool = BookkeepingPool(1, failures={12: "rank 0 on node died"})
    render(pool, batch, run_folder, checkpoint_every=3.0)
    asked = methods(pool)
    again = asked[asked.index("resume") :]
    assert asked.count("encode") == 1
    assert again.count("denoise") < asked[: asked.index("resume")].count("denoise") + 8
    total = ForecastSettings().plan(50).num_full
    assert asked.count("denoise") <= total + 4, "at most the work of three seconds is done twice"


@pytest.mark.parametrize("num_decoders", [0, 1])
def test_video_whose_gang_was_lost_after_publishing_it_is_not_rendered_again(tmp_path, make_batch, num_decoders):
    run_folder, batch, diary = RunFolder(tmp_path), make_batch(2, num_steps=5), Diary()
    calm = BookkeepingPool(1, num_decoders=num_decoders)
    render(calm, batch, RunFolder(tmp_path / "calm"))
    pool = BookkeepingPool(1, num_decoders=num_decoders)

    def die_after_the_first_publish(gang, command, **options):
        if command.method == "publish" and not pool.lost:
            pool._gangs[gang].fails = AFTERWARDS
        return submit(gang, command, **options)

    submit, pool.submit = pool.submit, die_after_the_first_publish
    assert not render(pool, batch, run_folder, diary).failed
    assert len(diary.lost) == 1
    assert sorted(diary.done) == sorted(batch)
    assert begun_by(pool) == begun_by(calm)
    assert not list(run_folder.root.rglob("latents.safetensors"))


def test_video_that_fails_again_and_again_is_set_aside_and_the_batch_goes_on(tmp_path, make_batch):
    """The first two commands of each attempt are prepare (once) and encode."""
    run_folder, batch, diary = RunFolder(tmp_path), make_batch(2, num_steps=5), Diary()
    bad, good = batch
    pool = BookkeepingPool(1, failures={2: "rank 1 on node failed: ValueError: bad prompt"})

    def fail_the_first_always(gang, command, **options):
        if command.method == "encode" and command.arguments[0] == bad:
            pool._failures[pool._count + 1] = "rank 1 on node failed: ValueError: bad prompt"
        return submit(gang, command, **options)

    submit, pool.submit = pool.submit, fail_the_first_always
    outcome = render(pool, batch, run_folder, diary, max_attempts=3, backoff_seconds=1.0)
    assert list(outcome.failed) == diary.failed == [bad]
    assert diary.done == [good]
    record = json.loads(run_folder.video(bad).failure.read_text())
    assert record["attempts"] == 3
    assert "bad prompt" in record["error"] and "Traceback" in record["traceback"]
    assert begun_by(pool).count(bad) == 3


def test_what_was_set_aside_stays_so_until_it_is_asked_for(tmp_path, make_batch):
    run_folder, batch = RunFolder(tmp_path), make_batch(1, num_steps=5)
    [name] = batch
    finish(run_folder.video(name), "failed.json")
    untouched = BookkeepingPool(1)
    assert list(render(untouched, batch, run_folder).failed) == [name]
    assert not untouched.commands
    assert not render(BookkeepingPool(1), batch, run_folder, retry_failed=True).failed
    assert run_folder.video(name).is_done and not run_folder.video(name).failure.exists()


def test_attempts_count_across_launches_and_from_one_again_after_progress(tmp_path, make_batch):
    run_folder, batch = RunFolder(tmp_path), make_batch(1, num_steps=20)
    [name] = batch
    folder = run_folder.video(name)
    for expected in (1, 2):
        pool = BookkeepingPool(1, failures={2: "died"})
        stop = Stop()
        pool.submit = stop_after_loss(pool, stop)
        render(pool, batch, run_folder, stop=stop, max_attempts=5)
        assert json.loads(folder.attempts.read_text())["count"] == expected
    pool = BookkeepingPool(1, failures={7: "died"})
    stop = Stop()
    pool.submit = stop_after_loss(pool, stop)
    render(pool, batch, run_folder, stop=stop, max_attempts=5, checkpoint_every=0.0)
    assert json.loads(folder.attempts.read_text())["count"] == 1
    assert json.loads(folder.attempts.read_text())["step"] > 0


def stop_after_loss(pool, stop):
    """End the launch once a gang was lost."""
    submit = pool.submit

    def watched(gang, command, **options):
        if pool.lost:
            stop.reason = "SIGTERM"
        return submit(gang, command, **options)

    event = pool.next_event

    def next_event(timeout):
        happened = event(timeout)
        if pool.lost:
            stop.reason = "SIGTERM"
        return happened

    pool.next_event = next_event
    return watched


def test_gangs_that_cannot_be_built_end_the_launch_with_their_own_words(tmp_path, make_batch):
    from orchestrator.pool import GangLost

    pool = BookkeepingPool(1)
    pool.next_event = lambda _timeout: GangLost(gang="gang 0", cause="rank 0 failed: no such weights", details="…")
    with pytest.raises(GangFailed, match="no gang can be built: rank 0 failed: no such weights"):
        render(pool, make_batch(1), RunFolder(tmp_path))


def test_gangs_that_each_fail_once_to_be_built_do_not_end_the_launch(tmp_path, make_batch):
    """As on a machine that is busy while a launch starts."""
    from orchestrator.pool import GangLost

    pool = BookkeepingPool(4)
    losses = [GangLost(gang=gang, cause="rank 0 has been silent for 30 s", details="") for gang in pool.gangs]
    next_event = pool.next_event
    pool.next_event = lambda timeout: losses.pop() if losses else next_event(timeout)
    assert not render(pool, make_batch(2), RunFolder(tmp_path)).failed


def test_no_gang_for_minutes_ends_the_launch(tmp_path, make_batch):
    pool = BookkeepingPool(1)
    pool._gangs["gang 0"].ready_at = float("inf")
    with pytest.raises(GangFailed, match="no gang was ready for 300 s"):
        render(pool, make_batch(1), RunFolder(tmp_path))
    assert 290 < pool.now < 320


@settings(deadline=None, max_examples=30)
@given(drawn=st.sets(st.integers(1, 120), max_size=8), seed=st.integers(0, 99))
def test_loss_of_gangs_and_decode_workers_loses_no_video(tmp_path_factory, make_batch, drawn, seed):
    run_folder, batch = RunFolder(tmp_path_factory.mktemp("run")), make_batch(5, num_steps=12)
    pool = BookkeepingPool(2, seed=seed, num_decoders=2, failures=dict.fromkeys(drawn, "rank 0 on node died"))
    diary = Diary()
    assert not render(pool, batch, run_folder, diary, max_attempts=20, checkpoint_every=2.0).failed
    assert sorted(diary.done) == sorted(batch)


class FallingNode(BookkeepingPool):
    """Loses both gangs at once, while the second waits for the decode worker; and says so one by one."""

    def __init__(self) -> None:
        super().__init__(2, num_decoders=1, decode_seconds=40.0)
        self.left: list[str] = []
        self.has_fallen = False

    def next_event(self, timeout):
        gangs = [self._gangs[name] for name in self.gangs]
        if not self.has_fallen and gangs[0].command is not None and gangs[1].command is None and self.now > 20:
            self.has_fallen, self.left = True, list(self.gangs)
            for gang in gangs:
                gang.command, gang.is_ready, gang.ready_at = None, False, self.now + 5
        if self.left:
            return GangLost(gang=self.left.pop(0), cause="its node died", details="")
        return super().next_event(timeout)


def test_gang_that_is_lost_and_not_said_to_be_yet_is_given_nothing(tmp_path, make_batch):
    pool, batch, diary = FallingNode(), make_batch(8, num_steps=6), Diary()
    outcome = render(pool, batch, RunFolder(tmp_path), diary, max_waiting=0, backoff_seconds=0.0)
    assert pool.has_fallen and not outcome.failed
    assert sorted(diary.done) == sorted(batch)


def test_texts_of_a_gang_that_was_lost_at_them_are_encoded_at_once_by_the_next(tmp_path, make_batch):
    pool = BookkeepingPool(1, failures={1: "rank 0 died"})
    render(pool, make_batch(20), RunFolder(tmp_path))
    shares = [len(command.arguments[0]) for command in pool.commands["gang 0"] if command.method == "prepare"]
    assert len(shares) == 2 and shares[0] == shares[1] > 20


class SlowEncoder(BookkeepingPool):
    """Has time for five texts."""

    def _do(self, gang, command):
        report = super()._do(gang, command)
        return replace(report, result=min(report.result, 5)) if command.method == "prepare" else report


def test_texts_for_which_there_was_no_time_are_encoded_before_later_videos(tmp_path, make_batch):
    pool = SlowEncoder(1)
    outcome = render(pool, make_batch(20), RunFolder(tmp_path))
    assert not outcome.failed
    shares = [command.arguments[0] for command in pool.commands["gang 0"] if command.method == "prepare"]
    done = [text for share in shares for text in share[:5]]
    assert len(done) == len(set(done)) == 21, "each once"
    assert len(shares) == 5


class KilledByOneText(BookkeepingPool):
    """Loses every gang that encodes one text, ahead of its video or for it."""

    def __init__(self, text: str) -> None:
        super().__init__(1)
        self._text = text

    def submit(self, gang, command, **options):
        texts = command.arguments[0] if command.method == "prepare" else ()
        if command.method == "encode":
            texts = (command.arguments[1].prompt,)
        if self._text in texts:
            self._gangs[gang].fails = "rank 0 on node died"
        super().submit(gang, command, **options)


@pytest.mark.parametrize("which", [0, 7])
def test_text_that_kills_whoever_encodes_it_costs_its_own_video_alone(tmp_path, make_batch, which):
    batch = make_batch(10, num_steps=2)
    bad = list(batch)[which]
    pool = KilledByOneText(batch[bad].prompt)
    outcome = render(pool, batch, RunFolder(tmp_path), max_attempts=3, backoff_seconds=0.0)
    assert list(outcome.failed) == [bad]
    assert len(pool.lost) == 3 + 2, "twice ahead, together with others, then in three attempts of its own"
    assert sum(command.method == "publish" for command in pool.commands["gang 0"]) == 9
