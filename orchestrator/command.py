"""What the commands share: from Hydra's composition to an exit status."""

import os
import sys
from collections.abc import Callable
from typing import TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue
from rich.console import Console

from orchestrator.disk import NUMBERS
from orchestrator.errors import BadInput, OrchestratorError
from orchestrator.terminal import printable
from orchestrator.termination import Terminated

LOG_WIDTH = 200
"""Columns of what is printed where there is no terminal."""
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_SOME_FAILED = 3
EXIT_TERMINATED = 75
"""EX_TEMPFAIL of sysexits.h: the same command, run again, goes on."""
EXIT_INTERRUPTED = 130

C = TypeVar("C")


def run_command(work: Callable[[Console], int]) -> None:
    """Do the work and end the process with its status; errors become one line."""
    console = Console(stderr=True)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    try:
        _check_single_run()
        sys.exit(work(console))
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - one line, whatever the terminal's width
        sys.exit(EXIT_BAD_INPUT)
    except OrchestratorError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)  # noqa: T201 - it may quote a rank's traceback
        sys.exit(EXIT_FAILED)
    except OSError as error:
        if error.errno not in NUMBERS:
            raise
        print(f"error: {error.filename} cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt as interrupt:
        is_terminated = isinstance(interrupt, Terminated)
        how = "asked to end" if is_terminated else "interrupted"
        print(f"{how}: what is done is kept; the same command goes on", file=sys.stderr, flush=True)  # noqa: T201
        # Everything is taken down by now. Python's own end would run destructors of libraries that were broken off in
        # the middle (Ray, while it starts, then crashes), and takes a second more.
        os._exit(EXIT_TERMINATED if is_terminated else EXIT_INTERRUPTED)


def compose_config(composed: DictConfig, kind: type[C]) -> C:
    """What Hydra has composed, as the class that it was composed for.

    Raises:
        BadInput: a value that has no default is not set.
    """
    try:
        config = OmegaConf.to_object(composed)
    except MissingMandatoryValue as error:
        raise BadInput(f"{error.full_key} is not set") from error
    assert isinstance(config, kind)
    return config


def _check_single_run() -> None:
    """Hydra would compose many configurations for --multirun, and the end of the first run would end them all."""
    if HydraConfig.get().mode is RunMode.MULTIRUN:
        raise BadInput("--multirun is not for this command: one launch renders one batch, launch once for each")
