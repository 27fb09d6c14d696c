"""The one owner of the paths of what SLURM jobs leave beside a run's videos."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SlurmFolder:
    """The folder `slurm` of a run."""

    run: Path

    @property
    def root(self) -> Path:
        """The folder."""
        return self.run / "slurm"

    @property
    def script(self) -> Path:
        """What was submitted last."""
        return self.root / "job.sbatch"

    @property
    def settings(self) -> Path:
        """Every setting of the last submission."""
        return self.root / "settings.yaml"

    @property
    def submissions(self) -> Path:
        """A line of JSON for each submission: job id, time, command."""
        return self.root / "submitted.jsonl"

    def log(self, *, is_array: bool) -> Path:
        """The job's log, with SLURM's own signs for its numbers."""
        return self.root / ("job-%A_%a.log" if is_array else "job-%j.log")

    def ray_log(self, job_id: str, node: str) -> Path:
        """What Ray says on a node."""
        return self.root / f"job-{job_id}-ray" / f"{node}.log"

    def restarts(self, job_id: str) -> Path:
        """How far the job had come at its last start."""
        return self.root / f"job-{job_id}.restarts.json"

    def witness(self, job_id: str) -> Path:
        """There while the job runs: a node that cannot read it does not share the output folder."""
        return self.root / f"job-{job_id}.witness"
