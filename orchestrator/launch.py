"""The main command: `python -m orchestrator.launch +job=NAME [overrides]`.

Exit status: 0 done, 1 failed, 2 bad input, 3 some videos were set aside as failed, 75 asked to end by a signal and
130 interrupted from the keyboard: after the last two the same command goes on.
"""

import logging
import sys
from functools import partial
from time import monotonic

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig
from rich.console import Console

from orchestrator.command import EXIT_SOME_FAILED, compose_config, run_command
from orchestrator.config import LaunchConfig
from orchestrator.literal_arguments import protect, register
from orchestrator.terminal import PrintableFormatter
from orchestrator.termination import terminated_like_interrupted


def main() -> None:
    """Compose the configuration from the command line, and run it."""
    sys.argv[1:] = protect(sys.argv[1:])
    register()
    ConfigStore.instance().store(name="launch_schema", node=LaunchConfig)
    _compose()


@hydra.main(version_base=None, config_path="pkg://conf", config_name="launch")
def _compose(composed: DictConfig) -> None:
    run_command(lambda console: _launch(composed, console))


def _launch(composed: DictConfig, console: Console) -> int:
    # Imported here and below, in the order in which they are needed: an error in the input comes at once, and before
    # torch, the models' libraries and Ray.
    from orchestrator.cluster_room import ask_cluster  # noqa: PLC0415
    from orchestrator.launch_plan import plan_launch  # noqa: PLC0415
    from parallel.process_group import torchrun_ranks  # noqa: PLC0415

    rank, world_size = torchrun_ranks()
    config = compose_config(composed, LaunchConfig)
    plan = plan_launch(config, torchrun_world_size=world_size, ask_room=partial(ask_cluster, config))
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("orchestrator").setLevel(logging.INFO if rank == 0 else logging.ERROR)

    from orchestrator.overview import print_overview  # noqa: PLC0415

    if rank == 0:
        print_overview(console, plan)
    if plan.dry_run:
        return 0
    begin = monotonic()
    from orchestrator.run import run_plan  # noqa: PLC0415

    with terminated_like_interrupted():
        outcome = run_plan(plan, console=console, is_first_rank=rank == 0)
    if rank == 0:
        from orchestrator.summary import print_failures, print_page, print_summary  # noqa: PLC0415

        print_summary(console, plan.requests, plan.run_folder, monotonic() - begin)
        print_page(console, plan.run_folder)
        print_failures(console, plan.renders, outcome.failed, plan.run_folder)
    return EXIT_SOME_FAILED if outcome.failed else 0


if __name__ == "__main__":
    main()
