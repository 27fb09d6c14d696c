"""The page of a launch that goes on: rebuilt as videos finish, by a thread that has little of the time."""

import logging
import threading
from time import monotonic

from orchestrator.artifacts import RunFolder, VideoFolder
from orchestrator.errors import BadInput
from orchestrator.page.files import PageFiles
from orchestrator.pair import measure_pairs
from orchestrator.view import Silent

log = logging.getLogger("orchestrator")

PAUSE_SECONDS = 2.0
"""At least so long between two builds, however fast videos finish."""
PAUSE_FACTOR = 20.0
"""And so many times as long as the last build took: of a batch of 100,000 on a slow disk it takes seconds."""


class PageView(Silent):
    """A view that keeps the page of its run. What it is told costs microseconds."""

    def __init__(self, run_folder: RunFolder) -> None:
        """Writes nothing before `open`."""
        self._files = PageFiles(run_folder)
        self._path = run_folder.page
        self._changed = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_failing = False

    def open(self) -> None:
        """Begin to write, if that has not begun before: at once, so that the page is there before the first video."""
        self._changed.set()
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._keep_writing, name="page", daemon=True)
        self._thread.start()

    def video_done(self, gang: str, video_id: str, folder: VideoFolder) -> None:
        """Show it, soon."""
        self._changed.set()

    def video_failed(self, video_id: str, cause: str) -> None:
        """Show it, soon."""
        self._changed.set()

    def close(self) -> None:
        """Write what the launch has come to."""
        self._closing.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join()
            self._write(is_last=True)

    def _keep_writing(self) -> None:
        while True:
            self._changed.wait()
            if self._closing.is_set():
                return
            self._changed.clear()
            begin = monotonic()
            self._write()
            if self._closing.wait(max(PAUSE_SECONDS, PAUSE_FACTOR * (monotonic() - begin))):
                return

    def _write(self, *, is_last: bool = False) -> None:
        """A page that cannot be written is no reason to stop rendering."""
        try:
            self._files.write(is_last=is_last)
            self._is_failing = False
        except (OSError, BadInput) as error:
            if not self._is_failing:
                log.warning("%s cannot be written: %s", self._path, error)
            self._is_failing = True


def finish_page(run_folder: RunFolder) -> None:
    """Measure the pairs that are there, and write the page of a launch that has come to its end."""
    try:
        measure_pairs(RunFolder(run_folder.root))
        PageFiles(run_folder).write(is_last=True)
    except (OSError, BadInput) as error:
        log.warning("%s cannot be written: %s", run_folder.page, error)
