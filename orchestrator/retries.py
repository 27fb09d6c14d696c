"""What becomes of a video after a failed attempt: it is tried again later, or set aside."""

import logging
from collections.abc import Callable, Iterator
from heapq import heappop, heappush

from orchestrator.artifacts import RunFolder
from orchestrator.attempts import Attempts, note_failure, set_aside
from orchestrator.checkpoint_store import generations
from orchestrator.disk import check_room
from orchestrator.policy import Policy

log = logging.getLogger("orchestrator")


class Retries:
    """Videos that wait for another attempt, the soonest first."""

    def __init__(self, run_folder: RunFolder, policy: Policy, *, clock: Callable[[], float]) -> None:
        """None waits yet."""
        self._run_folder = run_folder
        self._policy = policy
        self._clock = clock
        self._waiting: list[tuple[float, str, str]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def note(self, video_id: str, gang: str, before: Attempts, *, num_steps: int, cause: str, details: str) -> bool:
        """Count a failed attempt; whether the video may be tried again. Otherwise it has been set aside.

        Counted from what was noted before the attempt began, so that ranks of torchrun that all fail count one.

        Args:
            video_id: of the video.
            gang: that tried.
            before: its attempts when this one began.
            num_steps: what it has come to once its latents are on the disk.
            cause: one line.
            details: a traceback.

        Raises:
            DiskFull: it failed since nothing can be written any more.
        """
        check_room(self._run_folder.root, cause)
        folder = self._run_folder.video(video_id)
        step = next((one.step for one in generations(folder.checkpoints)), 0)
        if folder.latents.is_file():
            step = num_steps
        attempts = note_failure(folder, before, step=step)
        log.info("%s: %s failed for the %d. time in a row", gang, video_id, attempts.count)
        if attempts.count >= self._policy.max_attempts:
            set_aside(folder, attempts=attempts.count, cause=cause, details=details)
            return False
        pause = self._policy.backoff_seconds * 2 ** (attempts.count - 1)
        heappush(self._waiting, (self._clock() + pause, video_id, gang))
        return True

    def due(self) -> Iterator[tuple[str, str]]:
        """Those whose time has come, and the gang that tried last; they do not wait any more."""
        while self._waiting and self._waiting[0][0] <= self._clock():
            _, video_id, gang = heappop(self._waiting)
            yield video_id, gang

    def seconds_left(self) -> float:
        """Until the next is due."""
        return max(self._waiting[0][0] - self._clock(), 0.0)
