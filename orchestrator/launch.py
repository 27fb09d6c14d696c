"""The main command: `python -m orchestrator.launch +job=NAME [overrides]`.

Exit status: 0 done, 1 failed, 2 bad input, 130 interrupted.
"""

import logging
import os
import sys
from time import monotonic

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue
from rich.console import Console

from orchestrator.config import LaunchConfig
from orchestrator.errors import BadInput, OrchestratorError
from orchestrator.literal_arguments import protect, register
from orchestrator.termination import terminated_like_interrupted

LOG_WIDTH = 200
"""Columns of what is printed where there is no terminal."""
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def main() -> None:
    """Compose the configuration from the command line, and run it."""
    sys.argv[1:] = protect(sys.argv[1:])
    register()
    ConfigStore.instance().store(name="launch_schema", node=LaunchConfig)
    _compose()


@hydra.main(version_base=None, config_path="pkg://conf", config_name="launch")
def _compose(composed: DictConfig) -> None:
    console = Console(stderr=True)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    try:
        _check_single_run()
        sys.exit(_launch(composed, console))
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - one line, whatever the terminal's width
        sys.exit(EXIT_BAD_INPUT)
    except OrchestratorError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        print("interrupted: finished videos are kept; the same command goes on", file=sys.stderr, flush=True)  # noqa: T201
        # Everything is taken down by now. Python's own end would run destructors of libraries that were broken off in
        # the middle (Ray, while it starts, then crashes), and takes a second more.
        os._exit(EXIT_INTERRUPTED)


def _check_single_run() -> None:
    """Hydra would compose many configurations for --multirun, and the end of the first run would end them all."""
    if HydraConfig.get().mode is RunMode.MULTIRUN:
        raise BadInput("--multirun is not for this command: one launch renders one batch, launch once for each")


def _launch(composed: DictConfig, console: Console) -> int:
    # Imported here and below, in the order in which they are needed: an error in the input comes at once, and before
    # torch, the models' libraries and Ray.
    from orchestrator.launch_plan import plan_launch  # noqa: PLC0415
    from parallel.process_group import torchrun_ranks  # noqa: PLC0415

    rank, world_size = torchrun_ranks()
    plan = plan_launch(_to_config(composed), torchrun_world_size=world_size)
    logging.basicConfig(format="%(asctime)s  %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("orchestrator").setLevel(logging.INFO if rank == 0 else logging.ERROR)

    from orchestrator.overview import print_overview  # noqa: PLC0415

    if rank == 0:
        print_overview(console, plan)
    if plan.dry_run:
        return 0
    begin = monotonic()
    from orchestrator.run import run_plan  # noqa: PLC0415

    with terminated_like_interrupted():
        run_plan(plan, console=console, is_first_rank=rank == 0)
    if rank == 0:
        from orchestrator.summary import print_summary  # noqa: PLC0415

        print_summary(console, plan.requests, plan.run_folder, monotonic() - begin)
    return 0


def _to_config(composed: DictConfig) -> LaunchConfig:
    try:
        config = OmegaConf.to_object(composed)
    except MissingMandatoryValue as error:
        raise BadInput(f"{error.full_key} is not set") from error
    assert isinstance(config, LaunchConfig)
    return config


if __name__ == "__main__":
    main()
