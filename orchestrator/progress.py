"""What a person sees while a batch renders: live lines on a terminal, plain log lines elsewhere."""

import logging
from collections.abc import Sequence
from time import monotonic

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from orchestrator.artifacts import VideoFolder
from orchestrator.durations import format_seconds
from orchestrator.eta import Eta
from orchestrator.reports import Stage
from orchestrator.view import GangProgress, View

log = logging.getLogger("orchestrator")


class _Batch:
    """Counts and times of a batch, for any view."""

    def __init__(self, num_gangs: int) -> None:
        self.total = self.done = 0
        self.at: dict[str, GangProgress] = {}
        self._began: dict[str, float] = {}
        self._eta = Eta(num_gangs=num_gangs)

    def gang_at(self, gang: str, progress: GangProgress) -> None:
        if gang not in self.at or self.at[gang].video_id != progress.video_id:
            self._began[gang] = monotonic()
        self.at[gang] = progress
        self._eta.num_gangs = max(self._eta.num_gangs, len(self.at))  # gangs may have been added

    def gang_idle(self, gang: str) -> None:
        self.at.pop(gang, None)

    def video_done(self, gang: str) -> float:
        """Seconds that the video took."""
        self.done += 1
        seconds = monotonic() - self._began[gang]
        self._eta.video_took(seconds)
        self.at.pop(gang)
        return seconds

    def remaining(self) -> str:
        now = monotonic()
        under_way = {gang: (at.fraction_done, now - self._began[gang]) for gang, at in self.at.items()}
        waiting = self.total - self.done - len(under_way)
        seconds = self._eta.remaining_seconds(waiting=waiting, under_way=under_way)
        return "ETA –" if seconds is None else f"ETA {format_seconds(seconds)}"


class LogLines:
    """Plain lines, one when a gang begins a stage or a quarter of the denoising, one when a video is done."""

    def __init__(self, num_gangs: int) -> None:
        self._batch = _Batch(num_gangs)
        self._shown: dict[str, tuple[str, Stage, int]] = {}

    def starting(self, what: str) -> None:
        """Say so."""
        log.info("%s", what)

    def batch_begins(self, *, total: int, done: int) -> None:
        """Say how much there is to do."""
        self._batch.total, self._batch.done = total, done
        log.info("%d videos, %d of them done before", total, done)

    def gang_at(self, gang: str, progress: GangProgress) -> None:
        """Say so if it is news."""
        self._batch.gang_at(gang, progress)
        news = (progress.video_id, progress.stage, int(4 * progress.fraction_done))
        if self._shown.get(gang) != news:
            self._shown[gang] = news
            log.info("%s  %s  %s  %s", gang, progress.video_id, progress.describe(), self._batch.remaining())

    def gang_ready(self, gang: str, nodes: Sequence[str]) -> None:
        """Say so, with its machines."""
        log.info("%s  ready on %s", gang, ", ".join(nodes))

    def gang_lost(self, gang: str, cause: str) -> None:
        """Say why."""
        self._batch.gang_idle(gang)
        self._shown.pop(gang, None)
        log.warning("%s  lost: %s; it is being rebuilt", gang, cause)

    def gang_idle(self, gang: str) -> None:
        """Note it."""
        self._batch.gang_idle(gang)

    def video_failed(self, video_id: str, cause: str) -> None:
        """Say why."""
        log.error("%s  set aside: %s", video_id, cause)

    def video_done(self, gang: str, video_id: str, folder: VideoFolder) -> None:
        """Say where it is."""
        seconds = self._batch.video_done(gang)
        log.info(
            "%s  %s  done in %s  %d/%d  %s  %s",
            *(gang, video_id, format_seconds(seconds), self._batch.done, self._batch.total),
            *(self._batch.remaining(), folder.video),
        )

    def close(self) -> None:
        """Nothing is left open."""


class LiveLines:
    """A line for each gang and one for the batch, redrawn in place."""

    def __init__(self, num_gangs: int, console: Console) -> None:
        self._batch = _Batch(num_gangs)
        self._idle: set[str] = set()
        self._starting: tuple[Spinner, float] | None = None
        self._live = Live(console=console, refresh_per_second=8, transient=True, get_renderable=self._render)

    def starting(self, what: str) -> None:
        """Show it with a spinner and its seconds."""
        self._starting = Spinner("dots", text=what), monotonic()
        self._live.start()

    def batch_begins(self, *, total: int, done: int) -> None:
        """Show the gangs."""
        self._starting = None
        self._batch.total, self._batch.done = total, done
        self._live.start()

    def gang_at(self, gang: str, progress: GangProgress) -> None:
        """Show it in the gang's line."""
        self._idle.discard(gang)
        self._batch.gang_at(gang, progress)

    def gang_ready(self, gang: str, nodes: Sequence[str]) -> None:
        """Show it in the gang's line."""
        self._idle.add(gang)

    def gang_lost(self, gang: str, cause: str) -> None:
        """Print why, above the lines."""
        self._batch.gang_idle(gang)
        self._idle.discard(gang)
        self._live.console.print(
            f"{gang} lost: {escape(cause)}; it is being rebuilt", style="yellow", highlight=False
        )

    def gang_idle(self, gang: str) -> None:
        """Show it in the gang's line."""
        self._batch.gang_idle(gang)
        self._idle.add(gang)

    def video_failed(self, video_id: str, cause: str) -> None:
        """Print why, above the lines."""
        self._live.console.print(f"{video_id} set aside: {escape(cause)}", style="red", highlight=False)

    def video_done(self, gang: str, video_id: str, folder: VideoFolder) -> None:
        """Count it."""
        self._batch.video_done(gang)

    def close(self) -> None:
        """Take the lines off the screen."""
        self._live.stop()

    def _render(self) -> RenderableType:
        if self._starting is not None:
            spinner, since = self._starting
            return Columns([spinner, Text(format_seconds(monotonic() - since), style="dim")])
        batch = self._batch
        gangs = Table.grid(padding=(0, 2))
        for gang in sorted({*batch.at, *self._idle}):
            at = batch.at.get(gang)
            if at is None:
                gangs.add_row(
                    Text(gang, style="bold"), ProgressBar(completed=100, width=20), Text("idle", style="dim")
                )
                continue
            bar = ProgressBar(completed=100 * at.fraction_done, width=20)
            prompt = Text(at.prompt, style="dim", overflow="ellipsis", no_wrap=True)
            gangs.add_row(Text(gang, style="bold"), bar, Text(at.describe(), no_wrap=True), prompt)
        total = Table.grid(padding=(0, 2))
        total.add_row(
            Text("batch ", style="bold"),
            ProgressBar(total=max(batch.total, 1), completed=batch.done, width=20),
            Text(f"{batch.done}/{batch.total} videos"),
            Text(batch.remaining(), style="cyan"),
        )
        return Group(gangs, total)


def make_view(num_gangs: int, console: Console) -> View:
    """Live lines on a terminal, log lines elsewhere."""
    return LiveLines(num_gangs, console) if console.is_terminal else LogLines(num_gangs)
