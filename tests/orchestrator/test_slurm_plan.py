"""Gangs of a job that is submitted: decided with the launch's own code, for nodes that are not there yet."""

from dataclasses import fields

import pytest

from orchestrator.errors import BadInput
from orchestrator.slurm_config import SubmitConfig
from orchestrator.slurm_plan import plan_job
from orchestrator.slurm_query import NoSlurm

TYPED = ["+job=demo", "job.objective=throughput", "slurm.nodes=2"]


@pytest.fixture
def job(config, tmp_path, monkeypatch):
    """What `+job=demo parallel=auto slurm.nodes=2 slurm.gpus_per_node=0 slurm.cpus_per_node=4 --dry-run` comes to."""

    def no_slurm():
        raise NoSlurm("no SLURM here")

    monkeypatch.setattr("orchestrator.slurm_plan.slurm_state", no_slurm)
    (tmp_path / "prompts.txt").write_text("\n".join(f"a circle, number {index}" for index in range(100)))
    job = SubmitConfig(**{one.name: getattr(config, one.name) for one in fields(config)})
    job.prompt, job.batch, job.dry_run = None, str(tmp_path / "prompts.txt"), True
    job.cluster.kind, job.cluster.device = "ray", "auto"
    job.slurm.nodes, job.slurm.gpus_per_node, job.slurm.cpus_per_node = 2, 0, 4
    return job


def words_of(script: str) -> list[str]:
    return [line.strip().rstrip("\\").strip() for line in script.splitlines()]


def test_objective_is_decided_for_the_jobs_nodes_and_the_job_is_told_the_layout(job):
    job.job.objective = "throughput"
    plan = plan_job(job, TYPED)
    assert plan.gangs.startswith("8 gangs of one rank, for throughput: ")
    words = words_of(plan.script)
    assert "--ranks-per-gang=1" in words and not any(word.startswith("--num-gangs") for word in words)
    last = max(index for index, word in enumerate(words) if word.startswith("job.objective="))
    assert words[last : last + 4] == ["job.objective=null", "parallel.cfg=1", "parallel.ring=1", "parallel.ulysses=1"]


def test_as_many_gangs_as_fit_are_left_to_the_job(job):
    job.parallel.ulysses = 2
    plan = plan_job(job, ["+job=demo", "parallel.ulysses=2"])
    assert plan.gangs == "4 gangs of 2 ranks (ulysses 2)"
    assert not any(word.startswith("--num-gangs") for word in words_of(plan.script))


def test_number_of_gangs_is_passed_on(job):
    job.parallel.ulysses, job.cluster.num_gangs = 2, 3
    plan = plan_job(job, ["+job=demo", "parallel.ulysses=2", "cluster.num_gangs=3"])
    assert plan.gangs == "3 gangs of 2 ranks (ulysses 2)"
    assert "--num-gangs=3" in words_of(plan.script)


def test_objective_on_the_cpu_needs_to_know_the_cores(job):
    job.job.objective, job.slurm.cpus_per_node = "latency", None
    with pytest.raises(BadInput, match=r"needs slurm\.cpus_per_node"):
        plan_job(job, TYPED)


def test_objective_and_a_layout_are_refused_as_by_a_launch(job):
    job.job.objective, job.parallel.ulysses = "latency", 2
    with pytest.raises(BadInput, match=r"^job\.objective=latency chooses the layout"):
        plan_job(job, TYPED)


@pytest.mark.parametrize(
    ("workers", "cpus_per_node", "asked", "gangs"),
    [
        (0, None, ["#SBATCH --cpus-per-task=2"], 2),
        (1, None, ["#SBATCH --cpus-per-task=3", "--ranks-per-node=2", "--decoders-per-node=1"], 2),
        (3, None, ["#SBATCH --cpus-per-task=4", "--ranks-per-node=2", "--decoders-per-node=2"], 2),
        (1, 5, ["#SBATCH --cpus-per-task=5", "--ranks-per-node=4", "--decoders-per-node=1"], 4),
        (1, 4, ["#SBATCH --cpus-per-task=4", "--ranks-per-node=3", "--decoders-per-node=1"], 2),
    ],
)
def test_decode_workers_have_cores_on_the_jobs_nodes(job, workers, cpus_per_node, asked, gangs):
    job.parallel.ulysses, job.slurm.cpus_per_node, job.decode.workers = 2, cpus_per_node, workers
    plan = plan_job(job, ["+job=demo", "parallel.ulysses=2"])
    assert plan.gangs.startswith(f"{gangs} gangs of 2 ranks")
    assert set(asked) <= set(words_of(plan.script))
    assert ("--decoders-per-node" in plan.script) == (workers > 0)


def test_decode_workers_of_ranks_on_gpus_have_cores_too(job):
    job.slurm.gpus_per_node, job.slurm.cpus_per_node, job.cluster.cpus_per_rank, job.decode.workers = 8, None, 4, 1
    words = words_of(plan_job(job, ["+job=demo"]).script)
    assert {"#SBATCH --cpus-per-task=36", "--ranks-per-node=8", "--decoders-per-node=1"} <= set(words)


@pytest.mark.parametrize(
    ("signal_seconds", "typed", "grace"), [(300, [], 220), (30, [], 30), (300, ["checkpoint.grace=90"], 90)]
)
def test_gangs_have_as_long_to_come_to_a_checkpoint_as_the_job_waits_for_the_driver(
    job, signal_seconds, typed, grace
):
    """A full round of a large video may take longer than the half minute of a launch at a terminal."""
    job.slurm.signal_seconds = signal_seconds
    words = words_of(plan_job(job, ["+job=demo", *typed]).script)
    assert [word for word in words if word.startswith("checkpoint.grace=")] == [f"checkpoint.grace={grace}"]


def test_objective_leaves_the_decode_workers_their_cores(job):
    job.job.objective, job.decode.workers = "throughput", 2
    assert plan_job(job, TYPED).gangs.startswith("6 gangs of one rank, for throughput: ")


@pytest.mark.parametrize(("gpus_per_node", "cpus_per_node"), [(0, 1), (8, 8)])
def test_too_few_cores_for_ranks_and_decode_workers_are_refused(job, gpus_per_node, cpus_per_node):
    job.slurm.gpus_per_node, job.slurm.cpus_per_node, job.decode.workers = gpus_per_node, cpus_per_node, 1
    with pytest.raises(
        BadInput, match=rf"^slurm\.cpus_per_node={cpus_per_node} is less .* and 1 of decode\.workers$"
    ):
        plan_job(job, ["+job=demo"])


def test_decode_workers_on_gpus_leave_too_few_for_a_gang(job):
    job.slurm.nodes, job.slurm.gpus_per_node, job.slurm.cpus_per_node = 1, 8, None
    job.decode.workers, job.decode.device = 1, "cuda"
    with pytest.raises(BadInput, match=r"decode\.workers=1 on GPUs of their own, .*room for 0 gangs of 8 ranks"):
        plan_job(job, ["+job=demo"])
