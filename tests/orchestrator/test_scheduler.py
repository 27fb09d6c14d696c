"""Which gang renders what, and in which order: drawn batches on gangs that answer in any order.

The gangs here keep books and render nothing; real ones run in `test_local_pool.py` and `test_ray_pool.py`.
"""

import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.artifacts import RunFolder
from orchestrator.errors import GangFailed
from orchestrator.pool import Command, Reply
from orchestrator.progress import GangProgress, Silent
from orchestrator.reports import RoundReport, Stage, StageReport
from orchestrator.request import video_id
from orchestrator.scheduler import run_batch
from orchestrator.sidecar import Provenance
from spectrum import ForecastSettings

PROVENANCE = Provenance(job_name="test", command="pytest", git_revision=None)


STAGES = {"prepare": Stage.ENCODE, "keep_latents": Stage.DENOISE, "take_latents": Stage.DENOISE}


class BookkeepingPool:
    """Gangs that do as they are told, in an order drawn by chance, and note it down."""

    def __init__(self, num_gangs: int, *, seed: int = 0, dies_after: int | None = None) -> None:
        self.gangs = tuple(f"gang {index}" for index in range(num_gangs))
        self.commands: dict[str, list[Command]] = defaultdict(list)
        self.most_busy = 0
        self._random = random.Random(seed)
        self._busy: dict[str, Command] = {}
        self._steps: dict[str, int] = {}
        self._requests = {}
        self._left = dies_after

    def submit(self, gang: str, command: Command) -> None:
        assert gang not in self._busy, "a gang does one thing at a time"
        self._busy[gang] = command
        if command.method != "prepare":
            self.most_busy = max(self.most_busy, len(self._busy))
        self.commands[gang].append(command)

    def next_reply(self) -> Reply:
        if self._left is not None:
            if self._left == 0:
                raise GangFailed("gang 0 failed: killed by the test")
            self._left -= 1
        gang = self._random.choice(sorted(self._busy))
        return Reply(gang=gang, report=self._do(gang, self._busy.pop(gang)))

    def close(self) -> None:
        """Nothing is open."""

    def _do(self, gang: str, command: Command) -> StageReport:
        if command.method == "encode":
            _, self._requests[gang] = command.arguments
            self._steps[gang] = 0
        if command.method == "denoise":
            request, first = self._requests[gang], self._steps[gang]
            plan = request.forecast.plan(request.num_steps)
            self._steps[gang] = plan.segment_end(first)
            rounds = tuple(
                RoundReport(step=step, kind=plan[step], seconds=0.1) for step in range(first, self._steps[gang])
            )
            is_complete = self._steps[gang] == len(plan)
            return StageReport(stage=Stage.DENOISE, seconds=0.1, rounds=rounds, is_complete=is_complete)
        if command.method == "publish":
            root, _ = command.arguments
            root.mkdir(parents=True)
            for name in ("video.mp4", "video.json"):
                (root / name).touch()
        return StageReport(stage=STAGES.get(command.method) or Stage(command.method), seconds=0.1)


drawn_pools = st.builds(BookkeepingPool, st.integers(1, 4), seed=st.integers(0, 99))


class Diary(Silent):
    """A view that remembers."""

    def __init__(self) -> None:
        self.begun: dict[str, int] = {}
        self.at: list[tuple[str, GangProgress]] = []
        self.done: list[str] = []
        self.idle: list[str] = []

    def batch_begins(self, *, total, done):
        self.begun = {"total": total, "done": done}

    def gang_at(self, gang, progress):
        self.at.append((gang, progress))

    def gang_idle(self, gang):
        self.idle.append(gang)

    def video_done(self, gang, video_id, folder):
        assert folder.is_done
        self.done.append(video_id)


@pytest.fixture(scope="session")
def make_batch(make_request):
    def make(size: int, **changes) -> dict:
        requests = [make_request(prompt=f"video {index}", **changes) for index in range(size)]
        return {video_id(request, model_fingerprint="m", dtype="float32"): request for request in requests}

    return make


def finish(folder, *names: str) -> None:
    folder.root.mkdir(parents=True)
    for name in names:
        (folder.root / name).write_text("of before")


def begun_by(pool) -> list[str]:
    """Videos that any gang was told to begin."""
    return [
        command.arguments[0]
        for commands in pool.commands.values()
        for command in commands
        if command.method == "encode"
    ]


@settings(deadline=None, max_examples=40)
@given(size=st.integers(0, 9), num_done=st.integers(0, 9), pool=drawn_pools)
def test_each_video_that_is_not_done_is_rendered_once(tmp_path_factory, make_batch, size, num_done, pool):
    run_folder, batch = RunFolder(tmp_path_factory.mktemp("run")), make_batch(size)
    done = list(batch)[:num_done]
    for name in done:
        finish(run_folder.video(name), "video.mp4", "video.json")
    diary = Diary()
    run_batch(pool, batch, run_folder, PROVENANCE, diary)
    assert sorted(begun_by(pool)) == sorted(set(batch) - set(done)) == sorted(diary.done)
    assert diary.begun == {"total": size, "done": len(done)}
    assert all(run_folder.video(name).is_done for name in batch)
    assert all(run_folder.video(name).video.read_text() == "of before" for name in done)
    assert sorted(diary.idle) == sorted(pool.gangs)
    assert pool.most_busy == min(len(pool.gangs), size - len(done))


@settings(deadline=None, max_examples=20)
@given(size=st.integers(1, 4), pool=drawn_pools, num_steps=st.integers(1, 30))
def test_gang_goes_through_the_stages_of_one_video_before_the_next(
    tmp_path_factory, make_batch, size, pool, num_steps
):
    run_folder = RunFolder(tmp_path_factory.mktemp("run"))
    batch = make_batch(size, num_steps=num_steps)
    run_batch(pool, batch, run_folder, PROVENANCE, Silent())
    segments = ["denoise"] * ForecastSettings().plan(num_steps).num_full
    of_one_video = ["encode", *segments, "keep_latents", "decode", "publish"]
    for first, *commands in pool.commands.values():
        assert first.method == "prepare"
        assert [command.method for command in commands] == of_one_video * (len(commands) // len(of_one_video))
        for index in range(0, len(commands), len(of_one_video)):
            name, _ = commands[index].arguments
            root, provenance = commands[index + len(of_one_video) - 1].arguments
            assert root == run_folder.video(name).root
            assert provenance == PROVENANCE


def test_videos_are_begun_in_the_order_of_the_batch(tmp_path, make_batch):
    batch, pool = make_batch(5), BookkeepingPool(1)
    run_batch(pool, batch, RunFolder(tmp_path), PROVENANCE, Silent())
    assert begun_by(pool) == list(batch)


@pytest.mark.parametrize("left_behind", [[], ["video.mp4"], ["video.mp4", "preview.png"], ["video.json"]], ids=str)
def test_video_without_its_sidecar_is_rendered_again(tmp_path, make_batch, left_behind):
    run_folder, batch = RunFolder(tmp_path), make_batch(1)
    [name] = batch
    folder = run_folder.video(name)
    for file in left_behind:
        folder.root.mkdir(parents=True, exist_ok=True)
        (folder.root / file).touch()
    pool = BookkeepingPool(1)
    with pytest.raises(FileExistsError) if left_behind else pytest.MonkeyPatch.context():
        # The bookkeeping gang refuses to write into a folder that is there; that it was asked to is what counts.
        run_batch(pool, batch, run_folder, PROVENANCE, Silent())
    assert begun_by(pool) == [name]


@pytest.mark.parametrize("dies_after", [0, 1, 7, 25])
def test_failed_gang_ends_the_batch_and_finished_videos_stay(tmp_path, make_batch, dies_after):
    run_folder, batch = RunFolder(tmp_path), make_batch(4)
    diary = Diary()
    with pytest.raises(GangFailed):
        run_batch(BookkeepingPool(1, dies_after=dies_after), batch, run_folder, PROVENANCE, diary)
    assert [name for name in batch if run_folder.video(name).is_done] == diary.done
    pool = BookkeepingPool(2)
    run_batch(pool, batch, run_folder, PROVENANCE, Silent())
    assert sorted(begun_by(pool)) == sorted(set(batch) - set(diary.done))


def test_progress_rises_from_nothing_to_all(tmp_path, make_batch):
    batch, diary = make_batch(1, num_steps=20), Diary()
    run_batch(BookkeepingPool(1), batch, RunFolder(tmp_path), PROVENANCE, diary)
    shares = [progress.fraction_done for _, progress in diary.at]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    stages = list(dict.fromkeys(progress.stage for _, progress in diary.at))
    assert stages == [Stage.ENCODE, Stage.DENOISE, Stage.DECODE, Stage.PUBLISH]
    denoising = [progress for _, progress in diary.at if progress.stage is Stage.DENOISE]
    plan = ForecastSettings().plan(20)
    assert tuple(progress.step for progress in denoising) == plan.full_steps
    assert [progress.segment_end for progress in denoising] == [*plan.full_steps[1:], 20]


def test_prompts_are_encoded_before_the_first_video_each_by_one_gang(tmp_path, make_batch):
    batch, pool = make_batch(5), BookkeepingPool(2)
    run_batch(pool, batch, RunFolder(tmp_path), PROVENANCE, Silent())
    prepared = [text for commands in pool.commands.values() for text in commands[0].arguments[0]]
    assert sorted(prepared) == sorted(
        {*(one.prompt for one in batch.values()), next(iter(batch.values())).negative_prompt}
    )


def test_video_whose_latents_are_on_the_disk_is_not_denoised_again(tmp_path, make_batch):
    run_folder, batch = RunFolder(tmp_path), make_batch(1)
    [name] = batch
    finish(run_folder.video(name), "latents.safetensors")
    pool = BookkeepingPool(1)
    with pytest.raises(FileExistsError):
        # The bookkeeping gang refuses to write into a folder that is there; what it was asked before counts.
        run_batch(pool, batch, run_folder, PROVENANCE, Silent())
    assert [command.method for command in pool.commands["gang 0"]] == ["prepare", "take_latents", "decode", "publish"]
