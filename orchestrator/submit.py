"""Submit a batch to SLURM: `python -m orchestrator.submit +job=NAME cluster=slurm [slurm.FIELD=VALUE …] [overrides]`.

Exit status: 0 submitted, 1 SLURM refused, 2 bad input.
"""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from orchestrator.artifacts import publish
from orchestrator.command import compose_config, run_command
from orchestrator.literal_arguments import protect, register
from orchestrator.slurm_config import SubmitConfig
from orchestrator.slurm_folder import SlurmFolder


def main() -> None:
    """Compose the configuration from the command line, and submit it."""
    typed = ["dry_run=true" if argument == "--dry-run" else argument for argument in sys.argv[1:]]
    sys.argv[1:] = protect(typed)
    register()
    ConfigStore.instance().store(name="submit_schema", node=SubmitConfig)

    @hydra.main(version_base=None, config_path="pkg://conf", config_name="submit")
    def compose(composed: DictConfig) -> None:
        run_command(lambda console: _submit(composed, console, typed))

    compose()


def _submit(composed: DictConfig, console: Console, typed: Sequence[str]) -> int:
    # Imported here: a misspelt override is answered before torch, which checks the forecast's settings.
    from orchestrator.slurm_plan import plan_job  # noqa: PLC0415

    config = compose_config(composed, SubmitConfig)
    plan = plan_job(config, typed)
    console.print(f"gangs: {plan.gangs}", markup=False, highlight=False, soft_wrap=True)
    for warning in plan.warnings:
        console.print(f"warning: {warning}", markup=False, highlight=False, soft_wrap=True)
    folder = SlurmFolder(plan.run)
    with publish(folder.settings) as temporary:
        temporary.write_text(OmegaConf.to_yaml(composed, resolve=True), encoding="utf-8")
    with publish(folder.script) as temporary:
        temporary.write_text(plan.script, encoding="utf-8")
    sys.stdout.write(plan.script)
    if config.dry_run:
        sys.stdout.write(f"\nnot submitted (dry_run): {folder.script}\n")
        return 0
    job_id = _hand_in(folder, typed)
    sys.stdout.write(
        f"\njob     {job_id}\noutput  {plan.run}\n"
        f"status  {Path(sys.executable).name} -m orchestrator.status {plan.run}\n"
        f"queue   squeue --job={job_id}        stop: scancel {job_id}        log: {folder.root}\n"
    )
    return 0


def _hand_in(folder: SlurmFolder, typed: Sequence[str]) -> str:
    """Give the file to sbatch, and write down what was submitted; the job's id."""
    from orchestrator.slurm_query import ask_slurm  # noqa: PLC0415

    # With several clusters the answer is "id;cluster".
    job_id = ask_slurm("sbatch", "--parsable", str(folder.script)).strip().split(";")[0]
    line = {"job": job_id, "submitted": datetime.now(UTC).isoformat(timespec="seconds"), "arguments": list(typed)}
    with folder.submissions.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return job_id


if __name__ == "__main__":
    main()
