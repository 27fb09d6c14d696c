"""What each rank of a gang does for `test_damaged_checkpoint.py`; see `tests/parallel/gang.py`."""

import pickle
import shutil
from pathlib import Path

from orchestrator.rank import rank_spec
from orchestrator.worker import Worker


def resume_with_an_unreadable_file(rank: int, _world_size: int, *, plan: str, is_full: bool, unreadable: str) -> dict:
    """The steps of two checkpoints, and the one that is gone on from where a file of the newer cannot be read."""
    launch = pickle.loads(Path(plan).read_bytes())
    [(video_id, request)] = launch.requests.items()
    checkpoints = launch.run_folder.video(video_id).checkpoints
    worker = Worker(rank_spec(launch, rank))
    worker.load()
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
