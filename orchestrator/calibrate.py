"""Calibrate a forecaster: `python -m orchestrator.calibrate +job=NAME name=FILE [overrides]`.

Renders a few prompts of the job with all rounds full, derives plans, weights and error budgets from inner products
of their features, tries them on other prompts, and writes the best to conf/forecast/FILE.yaml, for `forecast=FILE`.
All that the main command takes may be overridden here too. Exit status: 0 done, 1 failed, 2 bad input, 130
interrupted.
"""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig
from rich.console import Console

from orchestrator.command import compose_config, run_command
from orchestrator.config import ForecastConfig, LaunchConfig
from orchestrator.errors import BadInput
from orchestrator.literal_arguments import protect, register
from orchestrator.project import PROJECT

if TYPE_CHECKING:  # torch comes with them, and takes seconds
    from orchestrator.request import Request
    from spectrum import CalibratedFor


@dataclass(kw_only=True, slots=True)
class CalibrateConfig(LaunchConfig):
    """What the main command takes, and what a calibration needs."""

    name: str | None = None
    """Name of the file in conf/forecast/."""
    num_full: int = 14
    """Full rounds of the plan, or of videos under an error budget in the mean."""
    plans: bool = True
    """Whether to try plans, which spend the same on every video."""
    budgets: bool = True
    """Whether to try error budgets, which spend more on hard videos."""
    features: str = "velocity"
    """What is forecast: velocity, whose error is what moves the latents, or hidden."""
    fit_videos: int = 8
    """Videos whose features are looked at: the first prompts of the job."""
    trial_videos: int = 6
    """Videos that candidates are tried on: the prompts after these."""
    overwrite: bool = False
    """Replace a file of that name."""
    token_stride: int = 1
    """Look at every so many tokens only: all features of a video are kept in memory meanwhile."""


def main() -> None:
    """Compose the configuration from the command line, and calibrate."""
    sys.argv[1:] = protect(sys.argv[1:])
    register()
    ConfigStore.instance().store(name="calibrate_schema", node=CalibrateConfig)
    _compose()


@hydra.main(version_base=None, config_path="pkg://conf", config_name="calibrate")
def _compose(composed: DictConfig) -> None:
    run_command(lambda console: _calibrate(composed, console))


def _calibrate(composed: DictConfig, console: Console) -> int:
    # Imported here: an error in the input comes at once, before torch and the models' libraries.
    from orchestrator.choices import choose  # noqa: PLC0415
    from orchestrator.cluster_room import ask_cluster  # noqa: PLC0415
    from orchestrator.forecast_choice import made_for  # noqa: PLC0415
    from orchestrator.launch_plan import plan_launch  # noqa: PLC0415
    from spectrum import Features  # noqa: PLC0415

    config = compose_config(composed, CalibrateConfig)
    file = _check(config)
    features = choose(Features, config.features, "features")
    config.forecast = ForecastConfig()  # the paper's, which is tried too, and whose history has to find room
    plan = plan_launch(config, ask_room=partial(ask_cluster, config))
    identity = made_for(config, plan.model.folder, plan.model.fingerprint)
    requests = _of_each_prompt(plan.requests.values(), identity)
    needed = config.fit_videos + config.trial_videos
    if len(requests) < needed:
        raise BadInput(
            f"fit_videos={config.fit_videos} and trial_videos={config.trial_videos} need {needed} different prompts, "
            f"the batch has {len(requests)}"
        )
    if config.dry_run:
        return 0

    from orchestrator import calibration  # noqa: PLC0415
    from orchestrator.run import gangs_of  # noqa: PLC0415
    from orchestrator.termination import terminated_like_interrupted  # noqa: PLC0415

    fitted, tried = requests[: config.fit_videos], requests[config.fit_videos : needed]
    with terminated_like_interrupted(), gangs_of(plan, console) as pool:
        calibration.wait_until_ready(pool)
        console.print(f"rendering {len(fitted)} videos with all rounds full")
        grams = calibration.record(pool, fitted, features, token_stride=config.token_stride)
        found = calibration.candidates(
            grams, identity, config.num_full, features, plans=config.plans, budgets=config.budgets
        )
        calibration.check_plans(found, identity.num_steps, config.num_full)
        console.print(f"rendering {len(tried)} other videos with {len(found)} candidates")
        trials = calibration.try_out(pool, tried, found, config.num_full)
    for trial in trials:
        figures = f"{trial.decibels:6.1f} dB, worst {trial.worst:5.1f}, full rounds {trial.full_rounds:4.1f}"
        console.print(f"{figures}  {trial.name}", highlight=False)
    best = calibration.best_of(trials, config.num_full)
    file.write_text(
        f"# {best.name}; for {plan.model.name}, {identity.num_steps} steps, shift {identity.flow_shift:g} and "
        f"guidance {identity.guidance_scale:g} alone.\n# Written by orchestrator.calibrate.\n"
        + yaml.safe_dump(
            calibration.as_configuration(best.forecast), sort_keys=False, default_flow_style=None, width=118
        ),
        encoding="utf-8",
    )
    console.print(f"wrote {file}: use it as forecast={file.stem}", soft_wrap=True)
    return 0


def _check(config: CalibrateConfig) -> Path:
    """The file to write.

    Raises:
        BadInput: a field is missing or out of range.
    """
    if config.name is None:
        raise BadInput("name is missing: name=mine writes conf/forecast/mine.yaml, for forecast=mine")
    if not config.name.replace("_", "").replace("-", "").isalnum():
        raise BadInput(f"name={config.name} must be letters, digits, '_' and '-': it names a file of conf/forecast/")
    steps = config.denoise.num_steps
    if not 2 <= config.num_full < steps:
        raise BadInput(f"num_full={config.num_full} must lie in 2..{steps - 1} (denoise.num_steps={steps})")
    if not (config.plans or config.budgets):
        raise BadInput("plans=false and budgets=false leave nothing to try: one of them must be true")
    for name in ("fit_videos", "trial_videos", "token_stride"):
        if getattr(config, name) < 1:
            raise BadInput(f"{name}={getattr(config, name)} must be at least 1")
    file = PROJECT / "conf" / "forecast" / f"{config.name}.yaml"
    if file.exists() and not config.overwrite:
        raise BadInput(f"name={config.name} is taken: {file} is there; take another, or say overwrite=true")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise BadInput(f"name={config.name}: {file} cannot be written")
    return file


def _of_each_prompt(requests: Iterable["Request"], identity: "CalibratedFor") -> list["Request"]:
    """One request for each prompt; with noise of its own: what is learned must not hold for one noise alone.

    Raises:
        BadInput: one of them is rendered otherwise than the calibration is for.
    """
    of_prompt: dict[str, Request] = {}
    for one in requests:
        of_prompt.setdefault(one.prompt, one)
        for name in ("num_steps", "flow_shift", "guidance_scale"):
            if getattr(one, name) != getattr(identity, name):
                raise BadInput(
                    f"{name}={getattr(one, name)} in the batch, of {one.prompt!r}, is not "
                    f"denoise.{name}={getattr(identity, name)}: a calibration is for one of them"
                )
    return [replace(one, seed=one.seed + index) for index, one in enumerate(of_prompt.values())]


if __name__ == "__main__":
    main()
