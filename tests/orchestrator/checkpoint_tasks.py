"""What each rank of a gang does for the tests of checkpoints; see `tests/parallel/gang.py`."""

import pickle
import shutil
from pathlib import Path

from orchestrator.rank import rank_spec
from orchestrator.request import Request
from orchestrator.worker import Worker


def keep_latents_on_the_way(rank: int, _world_size: int, *, plan: str, checkpoints: str) -> int:
    """The step of a checkpoint of the latents alone, some segments after the begin."""
    worker, video_id, request = _load(rank, plan)
    worker.encode(video_id, request)
    for _ in range(4):
        worker.denoise()
    worker.save_checkpoint(Path(checkpoints), is_full=False)
    return worker.resume(video_id, request, Path(checkpoints)).result


def go_on_to_the_latents(rank: int, _world_size: int, *, plan: str, checkpoints: str, folder: str) -> int:
    """The step that the video is gone on from; its latents are in the folder then."""
    worker, video_id, request = _load(rank, plan)
    step = worker.resume(video_id, request, Path(checkpoints)).result
    while not worker.denoise().is_complete:
        pass
    worker.keep_latents(Path(folder))
    return step


def _load(rank: int, plan: str) -> tuple[Worker, str, Request]:
    launch = pickle.loads(Path(plan).read_bytes())
    [(video_id, request)] = launch.requests.items()
    worker = Worker(rank_spec(launch, rank))
    worker.load()
    return worker, video_id, request


def resume_with_an_unreadable_file(rank: int, _world_size: int, *, plan: str, is_full: bool, unreadable: str) -> dict:
    """The steps of two checkpoints, and the one that is gone on from where a file of the newer cannot be read."""
    worker, video_id, request = _load(rank, plan)
    checkpoints = pickle.loads(Path(plan).read_bytes()).run_folder.video(video_id).checkpoints
    worker.encode(video_id, request)
    worker.denoise()
    worker.save_checkpoint(checkpoints, is_full=is_full)
    if rank == 0:
        shutil.copytree(checkpoints / "000001", checkpoints.with_name("older"))
    older = worker.resume(video_id, request, checkpoints).result
    worker.denoise()
    worker.save_checkpoint(checkpoints, is_full=is_full)
    newer = worker.resume(video_id, request, checkpoints).result
    if rank == 0:
        checkpoints.with_name("older").rename(checkpoints / "000001")
        (checkpoints / "000002" / unreadable).unlink()
        (checkpoints / "000002" / unreadable).symlink_to("/proc/self/mem")
    return {"older": older, "newer": newer, "resumed": worker.resume(video_id, request, checkpoints).result}
