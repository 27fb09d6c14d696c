"""What a person sees while a batch renders: live lines on a terminal, plain log lines elsewhere."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from orchestrator.artifacts import VideoFolder
from orchestrator.durations import format_seconds
from orchestrator.eta import Eta
from orchestrator.reports import Stage
from spectrum import Round

log = logging.getLogger("orchestrator")


@dataclass(frozen=True, kw_only=True, slots=True)
class GangProgress:
    """What a gang is doing."""

    video_id: str
    prompt: str
    stage: Stage
    num_steps: int
    step: int = 0
    """The segment's first step (denoise)."""
    segment_end: int = 0
    """The step after the segment's last (denoise)."""
    round: Round | None = None
    """The round that the segment begins with (denoise)."""
    fraction_done: float = 0.0
    """Share of the video's full rounds that are done, which is most of its time."""

    def describe(self) -> str:
        """One line, such as "denoise  step 25/50  full + 5 forecast"."""
        if self.stage is not Stage.DENOISE:
            return f"{self.stage.value}  step {self.step}/{self.num_steps}"
        num_forecast = self.segment_end - self.step - 1
        forecasts = f" + {num_forecast} {Round.FORECAST.value}" if num_forecast else ""
        return f"{self.stage.value}  step {self.step}/{self.num_steps}  {Round.FULL.value}{forecasts}"


class View(Protocol):
    """Is told of all that happens in a batch."""

    def starting(self, what: str) -> None:
        """Something is under way that comes before the batch and takes seconds."""
        ...

    def batch_begins(self, *, total: int, done: int) -> None:
        """The gangs are ready; `done` of `total` videos were finished by an earlier launch."""
        ...

    def gang_at(self, gang: str, progress: GangProgress) -> None:
        """A gang begins something."""
        ...

    def gang_idle(self, gang: str) -> None:
        """A gang has nothing left to do."""
        ...

    def video_done(self, gang: str, video_id: str, folder: VideoFolder) -> None:
        """A video is published."""
        ...

    def close(self) -> None:
        """The batch is over, or broken off."""
        ...


class Silent:
    """Shows nothing: for ranks other than 0 under torchrun, and for tests."""

    def starting(self, what: str) -> None:
        """Nothing."""

    def batch_begins(self, *, total: int, done: int) -> None:
        """Nothing."""

    def gang_at(self, gang: str, progress: GangProgress) -> None:
        """Nothing."""

    def gang_idle(self, gang: str) -> None:
        """Nothing."""

    def video_done(self, gang: str, video_id: str, folder: VideoFolder) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Views:
    """Several views, told of the same."""

    def __init__(self, *views: View) -> None:
        self._views = views

    def starting(self, what: str) -> None:
        """Tell each."""
        for view in self._views:
            view.starting(what)

    def batch_begins(self, *, total: int, done: int) -> None:
        """Tell each."""
        for view in self._views:
            view.batch_begins(total=total, done=done)

    def gang_at(self, gang: str, progress: GangProgress) -> None:
        """Tell each."""
        for view in self._views:
            view.gang_at(gang, progress)

    def gang_idle(self, gang: str) -> None:
        """Tell each."""
        for view in self._views:
            view.gang_idle(gang)

    def video_done(self, gang: str, video_id: str, folder: VideoFolder) -> None:
        """Tell each."""
        for view in self._views:
            view.video_done(gang, video_id, folder)

    def close(self) -> None:
        """Close each, whatever happens to the others."""
        with ExitStack() as closing_all:
            for view in self._views:
                closing_all.callback(view.close)


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

    def gang_idle(self, gang: str) -> None:
        """Note it."""
        self._batch.gang_idle(gang)

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

    def gang_idle(self, gang: str) -> None:
        """Show it in the gang's line."""
        self._batch.gang_idle(gang)
        self._idle.add(gang)

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
