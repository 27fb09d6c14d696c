"""What never comes, or comes where nobody sees it: neither waited for for ever nor counted as done."""

import json

import pytest
from bookkeeping import BookkeepingPool, Diary, begun_by, methods, render

from orchestrator.artifacts import RunFolder
from orchestrator.attempts import read_attempts
from orchestrator.errors import GangFailed, RankFailed
from orchestrator.reports import Stage, StageReport
from orchestrator.standing import Standing


def never_ready(pool, name):
    pool._gangs[name].ready_at = float("inf")


def show(folder):
    folder.root.mkdir(parents=True, exist_ok=True)
    folder.video.touch()
    folder.sidecar.touch()


def test_launch_ends_where_no_decode_worker_comes(tmp_path, make_batch):
    pool = BookkeepingPool(2, num_decoders=1)
    never_ready(pool, "decoder 0")
    with pytest.raises(GangFailed, match="no decode worker was ready for 300 s: the cluster has no room for one"):
        render(pool, make_batch(8), RunFolder(tmp_path))
    assert 290 < pool.now < 400
    assert "keep_latents" in methods(pool)


def test_decode_worker_that_is_ready_stands_in_for_no_gang(tmp_path, make_batch):
    pool = BookkeepingPool(1, num_decoders=1)
    never_ready(pool, "gang 0")
    with pytest.raises(GangFailed, match="no gang was ready for 300 s"):
        render(pool, make_batch(1), RunFolder(tmp_path))


def test_gangs_that_load_for_long_are_waited_for(tmp_path, make_batch):
    pool = BookkeepingPool(1)
    pool.loads, pool._gangs["gang 0"].ready_at = True, 1200.0
    assert not render(pool, make_batch(1), RunFolder(tmp_path)).failed


def test_gangs_that_load_for_ever_are_not(tmp_path, make_batch):
    pool = BookkeepingPool(1)
    pool.loads = True
    never_ready(pool, "gang 0")
    with pytest.raises(GangFailed, match="no gang was ready for 3600 s: its ranks still load"):
        render(pool, make_batch(1), RunFolder(tmp_path))


@pytest.mark.parametrize("answer", [None, False], ids=["not there", "damaged"])
def test_latents_that_the_decode_worker_cannot_read_are_a_failure_that_counts(tmp_path, make_batch, answer):
    run_folder, batch, diary = RunFolder(tmp_path), make_batch(2, num_steps=5), Diary()
    pool = BookkeepingPool(1, num_decoders=1)
    do = pool._do
    pool._do = lambda gang, command: (
        StageReport(stage=Stage.DENOISE, seconds=0.1, result=answer)
        if command.method == "take_latents"
        else do(gang, command)
    )
    outcome = render(pool, batch, run_folder, diary, max_attempts=3, backoff_seconds=0.1)
    assert sorted(outcome.failed) == sorted(batch)
    assert all("cannot read its latents" in cause for cause in outcome.failed.values())
    kept = [run_folder.video(name).latents.is_file() for name in batch]
    assert kept == [answer is None] * 2
    assert len(begun_by(pool)) == (2 if answer is None else 6), "what is whole is not denoised again"


def test_video_that_is_published_where_nobody_sees_it_is_not_done(tmp_path, make_batch):
    run_folder, batch, diary = RunFolder(tmp_path), make_batch(1, num_steps=5), Diary()
    [name] = batch
    pool = BookkeepingPool(1)
    do = pool._do
    pool._do = lambda gang, command: (
        StageReport(stage=Stage.PUBLISH, seconds=0.1) if command.method == "publish" else do(gang, command)
    )
    outcome = render(pool, batch, run_folder, diary, max_attempts=2, backoff_seconds=0.1)
    assert diary.done == []
    assert "does its node share that folder?" in outcome.failed[name]


def test_video_that_comes_into_sight_late_is_done_and_rendered_once(tmp_path, make_batch):
    run_folder, batch, diary = RunFolder(tmp_path), make_batch(1, num_steps=5), Diary()
    [name] = batch
    pool = BookkeepingPool(1)
    do, next_event = pool._do, pool.next_event

    def late(timeout):
        event = next_event(timeout)
        if pool.now > 40 and not run_folder.video(name).is_done:
            show(run_folder.video(name))
        return event

    pool._do = lambda gang, command: (
        StageReport(stage=Stage.PUBLISH, seconds=0.1) if command.method == "publish" else do(gang, command)
    )
    pool.next_event = late
    assert not render(pool, batch, run_folder, diary).failed
    assert diary.done == [name] == begun_by(pool)


def test_video_that_a_rank_given_up_still_finishes_is_not_rendered_again(tmp_path, make_batch):
    """It died for Ray, and wrote for a moment longer."""
    run_folder, batch, diary = RunFolder(tmp_path), make_batch(1, num_steps=5), Diary()
    [name] = batch
    pool = BookkeepingPool(1, failures={4: "rank 0 on node has been silent for 3 s"})
    next_event = pool.next_event

    def finish_after_the_loss(timeout):
        if pool.lost and not run_folder.video(name).is_done:
            show(run_folder.video(name))
        return next_event(timeout)

    pool.next_event = finish_after_the_loss
    assert not render(pool, batch, run_folder, diary, backoff_seconds=2.0).failed
    assert diary.done == [name] == begun_by(pool)


@pytest.mark.parametrize("num_decoders", [0, 1])
def test_latents_of_a_gang_lost_at_decoding_are_asked_for_even_where_they_cannot_be_seen_yet(
    tmp_path, make_batch, num_decoders
):
    run_folder, batch = RunFolder(tmp_path), make_batch(1, num_steps=5)
    [name] = batch
    pool = BookkeepingPool(1, num_decoders=num_decoders)
    submit = pool.submit

    def lose_at_decoding(gang, command, **options):
        if command.method == "decode" and not pool.lost:
            pool._gangs[gang].fails = "rank 0 on node ran out of memory"
            run_folder.video(name).latents.unlink()  # as this machine sees it
        return submit(gang, command, **options)

    pool.submit = lose_at_decoding
    assert not render(pool, batch, run_folder, backoff_seconds=0.1).failed
    assert begun_by(pool) == [name], "it is not denoised again"


def test_rank_that_cannot_go_on_has_its_video_counted_and_ends_the_launch(tmp_path, make_batch):
    """Under torchrun; a video that fails always is set aside in the end, and the others have their turn."""
    run_folder, batch = RunFolder(tmp_path), make_batch(2, num_steps=5)
    bad, good = batch

    def launch():
        pool = BookkeepingPool(1)
        submit = pool.submit

        def fail(gang, command, **options):
            if command.method == "encode" and command.arguments[0] == bad:
                raise RankFailed("ValueError: bad prompt", "Traceback …")
            return submit(gang, command, **options)

        pool.submit = fail
        return render(pool, batch, run_folder, max_attempts=2)

    for count in (1, 2):
        with pytest.raises(RankFailed, match="bad prompt"):
            launch()
        assert read_attempts(run_folder.video(bad)).count == count
    assert json.loads(run_folder.video(bad).failure.read_text())["error"] == "ValueError: bad prompt"
    assert list(launch().failed) == [bad]
    assert run_folder.video(good).is_done


def test_rank_that_cannot_see_yet_what_the_first_has_published_asks_the_same_as_the_first(tmp_path, make_batch):
    """Of torchrun's ranks, one that asked once more would wait for an answer of ranks that have left."""
    batch = make_batch(2, num_steps=5)

    def questions(pool, folder):
        asked = []
        pool.agree = lambda flag: asked.append(len(methods(pool))) or flag
        assert not render(pool, batch, RunFolder(folder)).failed
        assert begun_by(pool) == list(batch)
        return asked

    further = BookkeepingPool(1)
    do = further._do
    further._do = lambda gang, command: (
        StageReport(stage=Stage.PUBLISH, seconds=0.1) if command.method == "publish" else do(gang, command)
    )
    further.share = lambda value: (True, False) if isinstance(value, tuple) else value
    assert questions(further, tmp_path / "further") == questions(BookkeepingPool(1), tmp_path / "first")


def test_what_the_first_process_sees_counts_for_all(tmp_path, make_batch):
    """Of torchrun's ranks, each of which schedules: they must do the same, whatever their file systems show."""
    batch, pool = make_batch(3), BookkeepingPool(1)
    first, second, third = batch
    pool.share = lambda value: {**value, second: Standing.DONE} if isinstance(value, dict) else value
    diary = Diary()
    render(pool, batch, RunFolder(tmp_path), diary)
    assert diary.begun == {"total": 3, "done": 1}
    assert begun_by(pool) == [first, third]
