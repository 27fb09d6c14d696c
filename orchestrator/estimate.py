"""What a batch will take: `python -m orchestrator.estimate +job=NAME [overrides] [--json]`.

Touches no GPU and loads no model. Exit status: 0, or 2 for bad input and for what does not fit.
"""

import json
import sys

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig

from orchestrator.command import compose_config, run_command
from orchestrator.estimate_config import EstimateConfig
from orchestrator.literal_arguments import protect, register


def main() -> None:
    """Compose the configuration from the command line, and estimate."""
    typed = ["json=true" if argument == "--json" else argument for argument in sys.argv[1:]]
    sys.argv[1:] = protect(typed)
    register()
    ConfigStore.instance().store(name="estimate_schema", node=EstimateConfig)
    _compose()


@hydra.main(version_base=None, config_path="pkg://conf", config_name="estimate")
def _compose(composed: DictConfig) -> None:
    run_command(lambda _: _estimate(composed))


def _estimate(composed: DictConfig) -> int:
    # Imported here: a misspelt override is answered before torch, which checks the forecast's settings.
    from orchestrator.estimate_plan import plan_estimate  # noqa: PLC0415
    from orchestrator.estimate_report import as_json, as_text  # noqa: PLC0415

    config = compose_config(composed, EstimateConfig)
    estimate = plan_estimate(config)
    sys.stdout.write(json.dumps(as_json(estimate), indent=1) + "\n" if config.json else as_text(estimate))
    return 0


if __name__ == "__main__":
    main()
