"""Rebuild the model from nothing: train the autoencoder, encode the clips, train the transformer, export.

Every stage resumes where it stopped; `python -m tiny_wan.build --help` says how.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tiny_wan.export import WEIGHTS, export_trained
from tiny_wan.latents import encode_clips
from tiny_wan.state import state_folder
from tiny_wan.train_autoencoder import AutoencoderSettings, train_autoencoder
from tiny_wan.train_transformer import TransformerSettings, train_transformer
from tiny_wan.training import Budget
from tiny_wan.workers import run_workers

STAGES = ("autoencoder", "latents", "transformer", "export")


@dataclass(kw_only=True, slots=True)
class BuildSettings:
    """What one build does."""

    state: Path
    weights: Path
    stages: Sequence[str]
    num_workers: int
    num_clips: int
    autoencoder: AutoencoderSettings
    autoencoder_budget: Budget
    transformer: TransformerSettings
    transformer_budget: Budget


def build(settings: BuildSettings) -> None:
    """Run the stages asked for, in their order."""
    state, workers = settings.state, settings.num_workers
    if "autoencoder" in settings.stages:
        run_workers(workers, _train_autoencoder, settings)
    if "latents" in settings.stages:
        run_workers(workers, _encode_clips, settings)
    if "transformer" in settings.stages:
        run_workers(workers, _train_transformer, settings)
    if "export" in settings.stages:
        export_trained(state, settings.weights)


def _train_autoencoder(settings: BuildSettings) -> None:
    _log_to_stdout()
    train_autoencoder(settings.autoencoder, settings.autoencoder_budget, settings.state)


def _encode_clips(settings: BuildSettings) -> None:
    encode_clips(settings.state, settings.num_clips)


def _train_transformer(settings: BuildSettings) -> None:
    _log_to_stdout()
    train_transformer(settings.transformer, settings.transformer_budget, settings.state)


def _log_to_stdout() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stdout)


def quick_settings(state: Path, weights: Path, stages: Sequence[str] = STAGES) -> BuildSettings:
    """All stages in a few steps each: proves the programs, not the weights."""
    return BuildSettings(
        state=state,
        weights=weights,
        stages=stages,
        num_workers=1,
        num_clips=4,
        autoencoder=AutoencoderSettings(window_batch=1, clip_batch=1, compile=False),
        autoencoder_budget=Budget(steps=3),
        transformer=TransformerSettings(batch=2, compile=False),
        transformer_budget=Budget(steps=3),
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tiny_wan.build", description=__doc__)
    parser.add_argument("--state", help="folder for training state (default: $TINY_WAN_STATE, then ~/.cache)")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder to export to (default: %(default)s)")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="run only these stages")
    parser.add_argument("--minutes-autoencoder", type=float, default=32.0, help="default: %(default)s")
    parser.add_argument("--minutes-transformer", type=float, default=90.0, help="default: %(default)s")
    parser.add_argument("--clips", type=int, default=8192, help="clips to train on (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes, one core each (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a few steps of everything, to try the programs")
    options = parser.parse_args(arguments)
    if options.quick and options.weights == WEIGHTS:
        parser.error("--quick makes useless weights: name another folder with --weights")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    options = _parse(arguments)
    _log_to_stdout()
    state = state_folder(options.state)
    if options.quick:
        build(quick_settings(state, options.weights, options.stages))
        return
    build(
        BuildSettings(
            state=state,
            weights=options.weights,
            stages=options.stages,
            num_workers=options.workers,
            num_clips=options.clips,
            autoencoder=AutoencoderSettings(),
            autoencoder_budget=Budget(minutes=options.minutes_autoencoder),
            transformer=TransformerSettings(),
            transformer_budget=Budget(minutes=options.minutes_transformer),
        )
    )


if __name__ == "__main__":
    main()
