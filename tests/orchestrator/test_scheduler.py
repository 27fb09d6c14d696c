"""Which gang renders what, and in which order: drawn batches on a virtual clock.

The gangs here keep books and render nothing; real ones run in `test_local_pool.py`, `test_ray_pool.py` and
`tests/end_to_end/`.
"""

import pytest
from bookkeeping import PROVENANCE, BookkeepingPool, Diary, begun_by, finish, methods, render
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.artifacts import RunFolder
from orchestrator.checkpoint_store import generations
from orchestrator.hang_limits import FIRST_SECONDS
from orchestrator.policy import CheckpointState, Stop
from orchestrator.reports import Stage
from spectrum import ForecastSettings

drawn_pools = st.builds(BookkeepingPool, st.integers(1, 4), seed=st.integers(0, 99))


@settings(deadline=None, max_examples=40)
@given(size=st.integers(0, 9), num_done=st.integers(0, 9), pool=drawn_pools)
def test_each_video_that_is_not_done_is_rendered_once(tmp_path_factory, make_batch, size, num_done, pool):
    run_folder, batch = RunFolder(tmp_path_factory.mktemp("run")), make_batch(size)
    done = list(batch)[:num_done]
    for name in done:
        finish(run_folder.video(name), "video.mp4", "video.json")
    diary = Diary()
    outcome = render(pool, batch, run_folder, diary)
    assert not outcome.failed and not outcome.is_stopped
    assert sorted(begun_by(pool)) == sorted(set(batch) - set(done)) == sorted(diary.done)
    assert diary.begun == {"total": size, "done": len(done)}
    assert all(run_folder.video(name).is_done for name in batch)
    assert all(run_folder.video(name).video.read_text() == "of before" for name in done)
    assert pool.most_busy == min(len(pool.gangs), size - len(done))


@settings(deadline=None, max_examples=20)
@given(size=st.integers(1, 4), pool=drawn_pools, num_steps=st.integers(1, 30))
def test_gang_goes_through_the_stages_of_one_video_before_the_next(
    tmp_path_factory, make_batch, size, pool, num_steps
):
    run_folder = RunFolder(tmp_path_factory.mktemp("run"))
    batch = make_batch(size, num_steps=num_steps)
    render(pool, batch, run_folder)
    segments = ["denoise"] * ForecastSettings().plan(num_steps).num_full
    of_one_video = ["encode", *segments, "keep_latents", "decode", "publish"]
    for commands in pool.commands.values():
        rendering = [command for command in commands if command.method != "prepare"]
        assert [command.method for command in rendering] == of_one_video * (len(rendering) // len(of_one_video))
        for index in range(0, len(rendering), len(of_one_video)):
            name, _ = rendering[index].arguments
            root, provenance = rendering[index + len(of_one_video) - 1].arguments
            assert root == run_folder.video(name).root
            assert provenance == PROVENANCE


def test_videos_are_begun_by_priority_and_then_in_the_order_of_the_batch(tmp_path, make_batch):
    batch, pool = make_batch(5), BookkeepingPool(1)
    names = list(batch)
    render(pool, batch, RunFolder(tmp_path), priorities={names[3]: 2, names[1]: -1})
    assert begun_by(pool) == [names[3], names[0], names[2], names[4], names[1]]


@pytest.mark.parametrize("kept", ["latents.safetensors", ".checkpoints/3/damaged"])
def test_what_an_earlier_launch_began_comes_first(tmp_path, make_batch, kept):
    run_folder, batch, diary = RunFolder(tmp_path), make_batch(4), Diary()
    names = list(batch)
    path = run_folder.video(names[2]).root / kept
    path.parent.mkdir(parents=True)
    path.touch()
    render(BookkeepingPool(1), batch, run_folder, diary, priorities={names[3]: 1})
    assert diary.done == [names[3], names[2], names[0], names[1]]


def test_video_of_a_lost_gang_is_the_next_that_any_gang_takes_up(tmp_path, make_batch):
    batch, diary = make_batch(6), Diary()
    pool = BookkeepingPool(2, failures={6: "rank 1 died"})
    render(pool, batch, RunFolder(tmp_path), diary, backoff_seconds=0.0)
    [lost] = pool.lost
    victim = next(progress.video_id for gang, progress in diary.at if gang == lost)
    assert victim in diary.done[:2]


@pytest.mark.parametrize("left_behind", [[], ["video.mp4"], ["video.mp4", "preview.png"], ["video.json"]], ids=str)
def test_video_without_its_sidecar_is_rendered_again(tmp_path, make_batch, left_behind):
    run_folder, batch, pool = RunFolder(tmp_path), make_batch(1), BookkeepingPool(1)
    [name] = batch
    finish(run_folder.video(name), *left_behind)
    render(pool, batch, run_folder)
    assert begun_by(pool) == [name]
    assert run_folder.video(name).video.read_text() == "rendered"


def test_progress_rises_from_nothing_to_all(tmp_path, make_batch):
    batch, diary = make_batch(1, num_steps=20), Diary()
    render(BookkeepingPool(1), batch, RunFolder(tmp_path), diary)
    shares = [progress.fraction_done for _, progress in diary.at]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    stages = list(dict.fromkeys(progress.stage for _, progress in diary.at))
    assert stages == [Stage.ENCODE, Stage.DENOISE, Stage.DECODE, Stage.PUBLISH]
    denoising = [
        progress for _, progress in diary.at if progress.stage is Stage.DENOISE and progress.fraction_done < 1
    ]
    plan = ForecastSettings().plan(20)
    assert tuple(progress.step for progress in denoising) == plan.full_steps
    assert [progress.segment_end for progress in denoising] == [*plan.full_steps[1:], 20]


def test_texts_are_encoded_before_the_videos_that_need_them(tmp_path, make_batch):
    batch, pool = make_batch(5), BookkeepingPool(2)
    render(pool, batch, RunFolder(tmp_path))
    prepared = []
    for commands in pool.commands.values():
        assert commands[0].method == "prepare"
        prepared += [text for command in commands if command.method == "prepare" for text in command.arguments[0]]
    prompts = [text for text in prepared if text]
    assert set(prompts) == {one.prompt for one in batch.values()}
    assert len(prompts) <= len(batch) + 1, "hardly any twice"
    assert "" in prepared


def test_of_many_texts_a_share_is_encoded_at_a_time(tmp_path, make_batch, monkeypatch):
    monkeypatch.setattr("orchestrator.texts_ahead.TEXTS_AHEAD", 3)
    batch, pool = make_batch(9, num_steps=1), BookkeepingPool(1)
    render(pool, batch, RunFolder(tmp_path))
    shares = [len(command.arguments[0]) for command in pool.commands["gang 0"] if command.method == "prepare"]
    assert sum(shares) >= 10 and max(shares) <= 5
    assert methods(pool).index("encode") < len(methods(pool)) - 1 - methods(pool)[::-1].index("prepare")


def test_video_whose_latents_are_on_the_disk_is_not_denoised_again(tmp_path, make_batch):
    run_folder, batch, pool = RunFolder(tmp_path), make_batch(1), BookkeepingPool(1)
    [name] = batch
    finish(run_folder.video(name), "latents.safetensors")
    render(pool, batch, run_folder)
    assert methods(pool) == ["prepare", "take_latents", "decode", "publish"]


def test_what_is_left_beside_a_finished_video_by_what_died_is_removed(tmp_path, make_batch):
    run_folder, batch = RunFolder(tmp_path), make_batch(1)
    [name] = batch
    kept, left = {"video.mp4", "video.json"}, {"latents.safetensors", ".attempts.json", "failed.json"}
    finish(run_folder.video(name), *kept, *left)
    render(BookkeepingPool(1), batch, run_folder)
    assert {path.name for path in run_folder.video(name).root.iterdir()} == kept
    for one in left:
        (run_folder.video(name).root / one).touch()
    run_folder.video(name).clear()
    assert {path.name for path in run_folder.video(name).root.iterdir()} == kept


def test_checkpoints_are_written_as_often_as_asked_for(tmp_path, make_batch):
    pool = BookkeepingPool(1)
    render(pool, make_batch(1, num_steps=50), RunFolder(tmp_path), checkpoint_every=3.0)
    gaps = "".join(
        "c" if method == "save_checkpoint" else "d" for method in methods(pool) if "de" in method or "s" in method
    )
    assert methods(pool).count("save_checkpoint") in {3, 4}
    assert gaps
    none = BookkeepingPool(1)
    render(none, make_batch(1, num_steps=50), RunFolder(tmp_path / "none"), checkpoint_state=CheckpointState.NONE)
    assert "save_checkpoint" not in methods(none)


@settings(deadline=None, max_examples=30)
@given(after=st.floats(0, 20), num_gangs=st.integers(1, 3), seed=st.integers(0, 99))
def test_launch_that_is_asked_to_end_checkpoints_and_the_next_one_goes_on(
    tmp_path_factory, make_batch, after, num_gangs, seed
):
    run_folder, batch = RunFolder(tmp_path_factory.mktemp("run")), make_batch(3, num_steps=30)
    pool, stop = BookkeepingPool(num_gangs, seed=seed), Stop()
    event = pool.next_event

    def next_event(timeout):
        if pool.now >= after:
            stop.reason = "SIGUSR1"
        return event(timeout)

    pool.next_event = next_event
    outcome = render(pool, batch, run_folder, stop=stop)
    done = [name for name in batch if run_folder.video(name).is_done]
    assert outcome.is_stopped == (len(done) < 3) or outcome.is_stopped
    kept = [name for name in batch if generations(run_folder.video(name).checkpoints)]
    began = [name for name in begun_by(pool) if name not in done]
    for name in began:
        denoised = any(command.method == "denoise" for command in pool.commands[gang_of(pool, name)])
        assert not denoised or name in kept or run_folder.video(name).latents.is_file() or not is_last(pool, name)
    assert pool.now - after < 5
    again = BookkeepingPool(1)
    render(again, batch, run_folder)
    assert all(run_folder.video(name).is_done for name in batch)
    assert not set(begun_by(again)) & set(kept)


def gang_of(pool, name: str) -> str:
    return next(
        gang
        for gang, commands in pool.commands.items()
        if any(command.method == "encode" and command.arguments[0] == name for command in commands)
    )


def is_last(pool, name: str) -> bool:
    """Whether the video's gang had taken a segment of it, and of no video after it."""
    commands = pool.commands[gang_of(pool, name)]
    begun = [index for index, command in enumerate(commands) if command.method == "encode"]
    last = commands[begun[-1]]
    return last.arguments[0] == name and any(command.method == "denoise" for command in commands[begun[-1] :])


def test_segment_may_take_ten_times_the_slowest_before_it_counts_as_hung(tmp_path, make_batch):
    pool, limits = BookkeepingPool(1), []
    submit = pool.submit

    def watched(gang, command, *, limit_seconds=None):
        if command.method == "denoise":
            limits.append(limit_seconds)
        return submit(gang, command, limit_seconds=limit_seconds)

    pool.submit = watched
    render(pool, make_batch(1), RunFolder(tmp_path))
    assert limits[0] == FIRST_SECONDS
    assert limits[1:] == [60.0] * (len(limits) - 1)


def test_decode_workers_take_what_gangs_have_denoised_and_no_more_waits_than_may(tmp_path, make_batch):
    run_folder, batch = RunFolder(tmp_path), make_batch(7, num_steps=12)
    pool, diary, waiting = BookkeepingPool(2, num_decoders=1, decode_seconds=30.0), Diary(), []
    event = pool.next_event

    def next_event(timeout):
        waiting.append(sum(run_folder.video(name).latents.is_file() for name in batch))
        return event(timeout)

    pool.next_event = next_event
    render(pool, batch, run_folder, diary, max_waiting=1)
    assert sorted(diary.done) == sorted(batch)
    for gang in pool.gangs:
        assert not {"decode", "publish"} & set(methods(pool, gang))
    assert methods(pool, "decoder 0") == ["take_latents", "decode", "publish"] * 7
    assert max(waiting) == 4, "one for each gang and one more, beside the one that is being decoded"
