"""Render what is missing: processes that take captions one by one, and do all rows of one before the next."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import multiprocessing

from benchmarks.demo_model import DemoModel, Rendered
from benchmarks.quality_caches import CachedPipeline
from benchmarks.quality_regimes import Regime
from benchmarks.quality_rows import REFERENCE, Row, rows_of, sweep_rows
from benchmarks.quality_store import Store
from benchmarks.quiet import silence_libraries
from benchmarks.ring_pair import RingPair
from orchestrator.request import Request
from orchestrator.similarity import psnr, ssim
from tiny_wan.scorer import score

SWEEP_CAPTIONS = 8
"""Of the plot over full rounds."""


class Renderer:
    """Renders any row; each model is loaded when a row first needs it."""

    def __init__(self) -> None:
        self._pipeline: CachedPipeline | None = None
        self._models: dict[tuple[str, int], DemoModel | RingPair] = {}

    def render(self, row: Row, base: Request) -> Rendered:
        """One video."""
        request, dtype = row.request(base), getattr(torch, row.dtype)
        if row.cache is not None:
            self._pipeline = self._pipeline or CachedPipeline()
            return self._pipeline.render(request, row.cache)
        place = (row.dtype, row.ring)
        if place not in self._models:
            self._models[place] = DemoModel(dtype) if row.ring == 1 else RingPair(dtype)
        return self._models[place].render(request)

    def close(self) -> None:
        """End processes that were started."""
        for model in self._models.values():
            if isinstance(model, RingPair):
                model.close()


def due_rows(regime: Regime, caption: int) -> list[Row]:
    """All rows of a caption, the reference first. Read anew at each caption: a calibration may have come since."""
    rows = {(row.name, row.target): row for row in rows_of(regime)}
    if caption < SWEEP_CAPTIONS:
        rows |= {(row.name, row.target): row for line in sweep_rows(regime).values() for row in line}
    return list(rows.values())


def work_on_caption(store: Store, renderer: Renderer, regime: Regime, base: Request, rows: Sequence[Row]) -> int:
    """Render and measure the rows of one caption that the store has no result of; the number of them."""
    known = store.read()
    todo = [row for row in rows if store.key(row, base) not in known]
    if not todo:
        return 0
    reference_key = store.key(REFERENCE, base)
    reference = store.frames(reference_key)
    if reference is None or reference_key not in known:
        rendered = renderer.render(REFERENCE, base)
        reference = rendered.frames
        store.keep_frames(reference_key, reference)
        store.append({"key": reference_key, **measured(REFERENCE, base, rendered, reference, regime)})
    for row in todo:
        if row is REFERENCE:
            continue
        end_if_orphaned()
        try:
            rendered = renderer.render(row, base)
        except (ValueError, RuntimeError, AttributeError, TypeError) as error:
            if row.cache is None:
                raise
            record = {**_described(row, base, regime), "error": f"{type(error).__name__}: {error}"[:200]}
        else:
            record = measured(row, base, rendered, reference, regime)
        store.append({"key": store.key(row, base), **record})
    return len(todo)


def measured(row: Row, base: Request, rendered: Rendered, reference: Any, regime: Regime) -> dict[str, Any]:
    """One result."""
    return {
        **_described(row, base, regime),
        "psnr": psnr(reference, rendered.frames),
        "ssim": ssim(reference, rendered.frames),
        "marks": asdict(marks := score(rendered.frames, base.prompt)) | {"everything": marks.everything},
        "full_rounds": rendered.num_full_rounds,
        "seconds": rendered.seconds if row.ring == 1 else None,
        "forecast_errors": [[step, float(f"{error:.4g}")] for step, error in rendered.forecast_errors],
    }


def _described(row: Row, base: Request, regime: Regime) -> dict[str, Any]:
    """For people who read the file."""
    return {"regime": regime.name, "row": row.name, "target": row.target, "caption": base.prompt}


def render_missing(
    folder: Path, regimes: Sequence[Regime], num_captions: int, num_workers: int, patterns: Sequence[str]
) -> None:
    """Fill the store.

    Raises:
        RuntimeError: a worker failed.
    """
    context = multiprocessing.get_context("spawn")
    captions = context.Queue()
    for caption in [*range(num_captions), *([None] * num_workers)]:
        captions.put(caption)
    workers = [
        context.Process(
            target=_work, args=(folder, tuple(regimes), captions, tuple(patterns)), name=f"worker {index}"
        )
        for index in range(num_workers)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    failed = [worker.name for worker in workers if worker.exitcode]
    if failed:
        raise RuntimeError(f"{', '.join(failed)} failed; what was rendered is kept, and the same command goes on")


def _work(folder: Path, regimes: Sequence[Regime], captions: Any, patterns: Sequence[str]) -> None:
    silence_libraries()
    torch.set_num_threads(1)
    store, renderer = Store.of_demo_model(folder), Renderer()
    try:
        while (caption := captions.get()) is not None:
            for regime in regimes:
                base = regime.requests(caption + 1)[-1]
                rows = [row for row in due_rows(regime, caption) if is_chosen(row, patterns)]
                begin = perf_counter()
                rendered = work_on_caption(store, renderer, regime, base, rows)
                print(
                    f"caption {caption}, {regime.name}: {rendered} videos in {perf_counter() - begin:.0f} s",
                    flush=True,
                )
    finally:
        renderer.close()


def end_if_orphaned() -> None:
    """End this process where the command that started it has been killed."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        sys.exit("the command was ended; what was rendered is kept")


def is_chosen(row: Row, patterns: Sequence[str]) -> bool:
    """Whether a row is asked for: all are where no pattern is given, and those of all rounds full always are."""
    return not patterns or row is REFERENCE or any(pattern in row.name for pattern in patterns)
