"""Who is told of what happens in a batch."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from orchestrator.artifacts import VideoFolder
from orchestrator.reports import Stage
from spectrum import Round


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
        """A gang has left its video: whatever it goes on with is said next."""
        ...

    def video_done(self, gang: str, video_id: str, folder: VideoFolder) -> None:
        """A video is published, by a gang that is idle, lost, or at another video by now."""
        ...

    def gang_ready(self, gang: str, nodes: Sequence[str]) -> None:
        """A gang holds the model and can begin; it is on these machines."""
        ...

    def gang_lost(self, gang: str, cause: str) -> None:
        """A gang was killed, since a rank of it died, fell silent or raised; it is being rebuilt."""
        ...

    def video_failed(self, video_id: str, cause: str) -> None:
        """A video is set aside."""
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

    def gang_ready(self, gang: str, nodes: Sequence[str]) -> None:
        """Nothing."""

    def gang_lost(self, gang: str, cause: str) -> None:
        """Nothing."""

    def video_failed(self, video_id: str, cause: str) -> None:
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

    def gang_ready(self, gang: str, nodes: Sequence[str]) -> None:
        """Tell each."""
        for view in self._views:
            view.gang_ready(gang, nodes)

    def gang_lost(self, gang: str, cause: str) -> None:
        """Tell each."""
        for view in self._views:
            view.gang_lost(gang, cause)

    def video_failed(self, video_id: str, cause: str) -> None:
        """Tell each."""
        for view in self._views:
            view.video_failed(video_id, cause)

    def close(self) -> None:
        """Close each, whatever happens to the others."""
        with ExitStack() as closing_all:
            for view in self._views:
                closing_all.callback(view.close)
