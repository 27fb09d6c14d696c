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
from orchestrator.terminal import one_line
from orchestrator.view import GangProgress, View

log = logging.getLogger("orchestrator")


class _Batch:
    """Counts and times of a batch, for any view."""

    def __init__(self, num_gangs: int, decoders: Sequence[str]) -> None:
        self.total = self.done = 0
        self.at: dict[str, GangProgress] = {}
        self._set_aside = 0
        self._decoders = frozenset(decoders)
        self._denoised: set[str] = set()
        self._began: dict[str, float] = {}
        self._took: dict[str, float] = {}
        """Seconds by video that its last gang has left: it is known to be done a moment later."""
        self._eta = Eta(num_gangs=num_gangs, num_decoders=len(decoders))

    def begins(self, *, total: int, done: int) -> None:
        """A batch, or the same one again after all gangs were lost."""
        self.total, self.done = total, done
        self.at.clear()
        self._denoised.clear()

    def gang_at(self, gang: str, progress: GangProgress) -> None:
        if gang not in self.at or self.at[gang].video_id != progress.video_id:
            self._began[gang] = monotonic()
        self.at[gang] = progress
        at_work = sum(name not in self._decoders for name in self.at)
        self._eta.num_gangs = max(self._eta.num_gangs, at_work)  # gangs may have been added
        if gang in self._decoders:
            self._denoised.discard(progress.video_id)

    def gang_idle(self, gang: str) -> None:
        at = self._leave(gang)
        if at is not None and at.fraction_done == 1 and self._decoders and gang not in self._decoders:
            self._denoised.add(at.video_id)
            self._eta.video_took(self._took[at.video_id])

    def gang_lost(self, gang: str) -> None:
        at = self._leave(gang)
        if at is not None and gang in self._decoders:
            self._denoised.add(at.video_id)

    def _leave(self, gang: str) -> GangProgress | None:
        at = self.at.pop(gang, None)
        if at is not None:
            self._took[at.video_id] = monotonic() - self._began[gang]
        return at

    def video_failed(self) -> None:
        self._set_aside += 1

    def video_done(self, gang: str, video_id: str) -> float:
        """Seconds that the video took on the gang that had it last; 0 where none is known to have."""
        self.done += 1
        if gang in self.at and self.at[gang].video_id == video_id:
            self._leave(gang)
        self._denoised.discard(video_id)
        seconds = self._took.pop(video_id, 0.0)
        if seconds:
            took = self._eta.decode_took if gang in self._decoders else self._eta.video_took
            took(seconds)
        return seconds

    def remaining(self) -> str:
        now = monotonic()
        seconds = {gang: now - self._began[gang] for gang in self.at}
        under_way = {gang: (at.fraction_done, seconds[gang]) for gang, at in self.at.items()}
        decoding = [seconds[gang] for gang in self._decoders & self.at.keys()]
        for gang in self._decoders:
            under_way.pop(gang, None)
        begun = self.done + self._set_aside + len(self._denoised) + len(self.at)
        left = self._eta.remaining_seconds(
            waiting=max(self.total - begun, 0),
            under_way=under_way,
            denoised=len(self._denoised),
            decoding=decoding,
        )
        return "ETA –" if left is None else f"ETA {format_seconds(left)}"


class LogLines:
    """Plain lines, one when a gang begins a stage or a quarter of the denoising, one when a video is done."""

    def __init__(self, num_gangs: int, decoders: Sequence[str] = ()) -> None:
        self._batch = _Batch(num_gangs, decoders)
        self._shown: dict[str, tuple[str, Stage, int]] = {}

    def starting(self, what: str) -> None:
        """Say so."""
        log.info("%s", what)

    def batch_begins(self, *, total: int, done: int) -> None:
        """Say how much there is to do."""
        self._batch.begins(total=total, done=done)
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
        self._batch.gang_lost(gang)
        self._shown.pop(gang, None)
        log.warning("%s  lost: %s; it is being rebuilt", gang, one_line(cause))

    def gang_idle(self, gang: str) -> None:
        """Note it."""
        self._batch.gang_idle(gang)

    def video_failed(self, video_id: str, cause: str) -> None:
        """Say why."""
        self._batch.video_failed()
        log.error("%s  set aside: %s", video_id, one_line(cause))

    def video_done(self, gang: str, video_id: str, folder: VideoFolder) -> None:
        """Say where it is."""
        seconds = self._batch.video_done(gang, video_id)
        log.info(
            "%s  %s  done in %s  %d/%d  %s  %s",
            *(gang, video_id, format_seconds(seconds), self._batch.done, self._batch.total),
            *(self._batch.remaining(), folder.video),
        )

    def close(self) -> None:
        """Nothing is left open."""


class LiveLines:
    """A line for each gang and one for the batch, redrawn in place."""

    def __init__(self, num_gangs: int, console: Console, decoders: Sequence[str] = ()) -> None:
        self._batch = _Batch(num_gangs, decoders)
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
        self._batch.begins(total=total, done=done)
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
        self._batch.gang_lost(gang)
        self._idle.discard(gang)
        self._live.console.print(
            f"{gang} lost: {escape(one_line(cause))}; it is being rebuilt", style="yellow", highlight=False
        )

    def gang_idle(self, gang: str) -> None:
        """Show it in the gang's line."""
        self._batch.gang_idle(gang)
        self._idle.add(gang)

    def video_failed(self, video_id: str, cause: str) -> None:
        """Print why, above the lines."""
        self._batch.video_failed()
        self._live.console.print(f"{video_id} set aside: {escape(one_line(cause))}", style="red", highlight=False)

    def video_done(self, gang: str, video_id: str, folder: VideoFolder) -> None:
        """Count it."""
        self._batch.video_done(gang, video_id)

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
            prompt = Text(one_line(at.prompt), style="dim", overflow="ellipsis", no_wrap=True)
            gangs.add_row(Text(gang, style="bold"), bar, Text(at.describe(), no_wrap=True), prompt)
        total = Table.grid(padding=(0, 2))
        total.add_row(
            Text("batch ", style="bold"),
            ProgressBar(total=max(batch.total, 1), completed=batch.done, width=20),
            Text(f"{batch.done}/{batch.total} videos"),
            Text(batch.remaining(), style="cyan"),
        )
        return Group(gangs, total)


def make_view(num_gangs: int, console: Console, *, decoders: Sequence[str] = ()) -> View:
    """Live lines on a terminal, log lines elsewhere.

    Args:
        num_gangs: gangs of the launch.
        console: where to.
        decoders: names of the workers that only decode.
    """
    return LiveLines(num_gangs, console, decoders) if console.is_terminal else LogLines(num_gangs, decoders)
