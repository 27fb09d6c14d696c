"""From the rows of a manifest to requests: what a row does not say is the configuration's; all is checked."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from sys import intern
from typing import NamedTuple

from orchestrator.checks import denoising_problems, seed_problems, video_problems
from orchestrator.config import LaunchConfig
from orchestrator.errors import BadInput
from orchestrator.forecast_choice import check_plan, forecast_settings
from orchestrator.manifest import Manifest
from orchestrator.request import Request
from orchestrator.row import Flaw, Row, RowKind
from orchestrator.row_fields import TypedRow, problem_of_name, read_fields, shown
from spectrum import ForecastSettings

MOST_VIDEOS = 1_000_000
MOST_PROBLEMS_SHOWN = 20


class Draft(NamedTuple):
    """A request that has no video id yet."""

    request: Request
    name: str | None
    priority: int


class VideoKind(NamedTuple):
    """What a gang's layout and its decoding have to fit."""

    height: int
    width: int
    num_frames: int
    is_guided: bool
    decode_tiling: bool


class CalibratedVideo(NamedTuple):
    """A calibrated forecast, and what else it must have been calibrated for."""

    forecast: ForecastSettings
    num_steps: int
    flow_shift: float
    guidance_scale: float


@dataclass(frozen=True, slots=True)
class Drafts:
    """All requests of a batch."""

    drafts: list[Draft]
    """In the batch's order, with repetitions."""
    kinds: dict[VideoKind, str]
    """Every kind of video in the batch, and where it stands first: a file and line, or nothing for a prompt."""
    calibrated: dict[CalibratedVideo, str]
    """Every use of a calibration that may not be used anywhere, and where it stands first."""


def read_drafts(manifest: Manifest, config: LaunchConfig) -> Drafts:
    """Read and check a whole batch.

    Args:
        manifest: its rows.
        config: the defaults of every field, checked.

    Raises:
        BadInput: rows cannot be used; a line for each reason, up to 20, naming file, line, field and what is allowed.
    """
    maker, problems = _RequestMaker(config), Problems(manifest.label)
    drafts: list[Draft] = []
    kinds: dict[VideoKind, str] = {}
    calibrated: dict[CalibratedVideo, str] = {}
    for row in manifest.rows:
        if isinstance(row, Flaw):
            problems.add(manifest.where(row.line), row.text)
            continue
        typed = maker.read(row)
        for problem in typed.problems:
            problems.add(manifest.where(row.line), problem)
        if row.kind is not RowKind.VIDEO or typed.problems:
            continue
        if len(drafts) + typed.num_seeds > MOST_VIDEOS:
            text = f"there are more than {MOST_VIDEOS} videos up to here: part the manifest"
            problems.add(manifest.where(row.line), text)
            break
        made = [Draft(request, typed.name, typed.priority) for request in maker.requests(typed)]
        drafts += made
        kind = _kind_of(made[0].request)
        if kind not in kinds:
            kinds[kind] = manifest.where(row.line)
        if maker.needs_its_calibration(typed):
            calibrated.setdefault(_use_of(made[0].request), manifest.where(row.line))
    problems.raise_if_any()
    if not drafts:
        raise BadInput(
            f"batch={manifest.label} holds no prompts: put one on each line, or in each row's field prompt"
        )
    return Drafts(drafts, kinds, calibrated)


def _kind_of(request: Request) -> VideoKind:
    return VideoKind(request.height, request.width, request.num_frames, request.is_guided, request.decode_tiling)


def _use_of(request: Request) -> CalibratedVideo:
    return CalibratedVideo(request.forecast, request.num_steps, request.flow_shift, request.guidance_scale)


@dataclass(slots=True)
class Problems:
    """What is wrong with a manifest: the first lines, and how many there are."""

    label: str
    """The manifest's; empty for a prompt of the command line."""
    _lines: list[str] = field(default_factory=list)
    _number: int = 0

    def add(self, where: str, text: str) -> None:
        """One more, and where it stands."""
        self._number += 1
        if len(self._lines) < MOST_PROBLEMS_SHOWN:
            self._lines.append(f"{where}: {text}" if where else text)

    def raise_if_any(self) -> None:
        """Raises BadInput."""
        if self._number == 1:
            raise BadInput(self._lines[0])
        if self._number:
            more = self._number - len(self._lines)
            rest = [f"… and {more} more"] if more else []
            raise BadInput(f"batch={self.label}: {self._number} errors", *self._lines, *rest)


class _RequestMaker:
    """Knows the defaults, and remembers what has been found of values that many rows share."""

    def __init__(self, config: LaunchConfig) -> None:
        self._model, self._forecast = config.model, config.forecast
        self._defaults = TypedRow(
            request={
                "negative_prompt": config.negative_prompt,
                "seed": config.seed,
                "height": config.video.height,
                "width": config.video.width,
                "num_frames": config.video.num_frames,
                "fps": config.video.fps,
                "num_steps": config.denoise.num_steps,
                "guidance_scale": config.denoise.guidance_scale,
                "flow_shift": config.denoise.flow_shift,
                "decode_tiling": config.decode.tiling,
            }
        )
        self._unknown: set[str] = set()
        self._settings: dict[tuple[str, float], ForecastSettings | str] = {}
        self._found: dict[tuple[object, ...], tuple[str, ...]] = {}

    def read(self, row: Row) -> TypedRow:
        """The row's values on top of the defaults, and what is wrong with them."""
        if row.kind is RowKind.HEADER:
            return self._read_header(row)
        typed = self._defaults.copy()
        read_fields({name: one for name, one in row.fields.items() if name not in self._unknown}, typed)
        if row.kind is RowKind.DEFAULTS:
            self._defaults = typed.copy()
        elif "prompt" not in typed.request and "prompt" not in row.fields:
            typed.problems.append("prompt is not given: say what the video should show")
        if row.kind is RowKind.VIDEO and not typed.problems:
            typed.problems += self._problems_of(typed)
        return typed

    def needs_its_calibration(self, typed: TypedRow) -> bool:
        """Whether the row's forecast is calibrated, and not to be used for anything else."""
        settings = self._settings_of_row(typed)
        assert isinstance(settings, ForecastSettings)
        return settings.calibration is not None and not typed.forecast.get("anywhere", self._forecast.anywhere)

    def requests(self, typed: TypedRow) -> Iterator[Request]:
        """A request for each seed of a row without problems."""
        settings = self._settings_of_row(typed)
        assert isinstance(settings, ForecastSettings)
        first = typed.request["seed"]
        for seed in range(first, first + typed.num_seeds):
            yield Request(**(typed.request | {"seed": seed}), forecast=settings)

    def _read_header(self, row: Row) -> TypedRow:
        """Columns that are no fields are named once, not in every row."""
        found = {name: problem for name in row.fields if (problem := problem_of_name(name))}
        self._unknown |= found.keys()
        return TypedRow(problems=list(found.values()))

    def _problems_of(self, typed: TypedRow) -> Iterator[str]:
        settings, request = self._settings_of_row(typed), typed.request
        request["negative_prompt"] = intern(request["negative_prompt"])  # one text for all rows that share it
        numbers = (id(settings), *(one for name, one in request.items() if name not in _OF_ONE_ROW))
        if numbers not in self._found:
            self._found[numbers] = tuple(self._problems_of_numbers(typed, settings))
        yield from self._found[numbers]
        first = request["seed"]
        yield from list(seed_problems(first)) or seed_problems(first + typed.num_seeds - 1)

    def _problems_of_numbers(self, typed: TypedRow, settings: ForecastSettings | str) -> Iterator[str]:
        if isinstance(settings, str):
            yield settings
            settings = ForecastSettings()
        request = Request(**(typed.request | {"prompt": ""}), forecast=settings)
        yield from video_problems(request, self._model)
        wrong = list(denoising_problems(request))
        yield from wrong
        if not wrong:
            try:
                check_plan(settings, request.num_steps)
            except BadInput as error:
                yield str(error)

    def _make_settings(self, typed: TypedRow) -> ForecastSettings:
        config = replace(self._forecast, **typed.forecast) if typed.forecast else self._forecast
        return forecast_settings(config, flow_shift=typed.request["flow_shift"])

    def _settings_of_row(self, typed: TypedRow) -> ForecastSettings | str:
        """The row's forecast settings, or why they cannot be; one object for all rows that say the same."""
        flow_shift: float = typed.request["flow_shift"]
        key = repr(sorted(typed.forecast.items())) if typed.forecast else "", flow_shift
        if key not in self._settings:
            try:
                self._settings[key] = self._make_settings(typed)
            except BadInput as error:
                self._settings[key] = str(error)
            except (TypeError, AttributeError):  # of a value whose type nobody has checked
                values = ", ".join(f"forecast.{name}={shown(one)}" for name, one in typed.forecast.items())
                self._settings[key] = f"{values} cannot be"
        return self._settings[key]


_OF_ONE_ROW = ("prompt", "negative_prompt", "seed")
