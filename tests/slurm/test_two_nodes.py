"""A job on two nodes of a real SLURM, from the command that submits it to its videos."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import yaml

from orchestrator.slurm_folder import SlurmFolder

pytestmark = pytest.mark.alone

NUM_VIDEOS = 3


@dataclass(kw_only=True)
class Watched:
    """A job that has ended, and what was seen of its processes meanwhile."""

    job: object
    state: str = ""
    tokens: set[bytes] = field(default_factory=set)
    commands: set[bytes] = field(default_factory=set)


@pytest.fixture(scope="module")
def watched(slurm, submit_job, batch_file, tmp_path_factory) -> Watched:
    """A gang of two ranks, one on each node; the run folder's name is as unhandy as it may be."""
    run = tmp_path_factory.mktemp("two") / 'it\'s "a" $(run) %j #1 ü'
    job = submit_job(
        slurm, f"batch={batch_file(NUM_VIDEOS)}", "slurm.nodes=2", "slurm.cpus_per_node=1", "slurm.time=8", run=run
    )
    watched = Watched(job=job)
    job.wait_for_log("denoise")
    for process in processes_of(slurm):
        watched.commands.add(read(process.pid, "cmdline"))
        watched.tokens |= set(re.findall(rb"RAY_AUTH_TOKEN=(\w+)", read(process.pid, "environ")))
    watched.state = job.wait()
    return watched


def processes_of(slurm) -> list[psutil.Process]:
    """Everything that the nodes' jobs have started: it names the cluster's folder or configuration."""
    name = slurm.folder.name.encode()
    return [
        process
        for process in psutil.process_iter()
        if name in read(process.pid, "environ") and b"orchestrator" in read(process.pid, "cmdline")
    ]


def read(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""


def test_every_video_is_there_and_equal_to_an_undisturbed_run(watched, undisturbed):
    assert watched.state == "COMPLETED", watched.job.log
    assert watched.job.videos == undisturbed(NUM_VIDEOS)


def test_one_gang_had_a_rank_on_each_node(watched):
    assert "Ray is up on 2 of 2 nodes" in watched.job.log
    assert "1 gang of 2 ranks" in watched.job.log
    assert {log.stem for log in SlurmFolder(watched.job.run).root.glob("job-*-ray/*.log")} == {"n1", "n2"}


def test_token_is_one_job_s_own_and_in_no_command_line(watched):
    [token] = watched.tokens
    assert len(token) == 64
    assert any(b"slurm_node" in command for command in watched.commands)
    assert not any(token in command for command in watched.commands)


def test_nothing_of_the_job_is_left(watched, slurm):
    assert processes_of(slurm) == []
    assert list(slurm.local_disk.iterdir()) == []


def test_settings_and_the_submission_stand_beside_the_videos(watched):
    folder = SlurmFolder(watched.job.run)
    settings = yaml.safe_load(folder.settings.read_text())
    assert settings["slurm"]["nodes"] == 2 and settings["denoise"]["num_steps"] == 8
    [line] = folder.submissions.read_text().splitlines()
    assert json.loads(line)["job"] == watched.job.id
    assert not folder.witness(watched.job.id).exists()


def test_printed_are_the_script_the_job_the_folder_and_the_command_for_its_status(watched):
    for text in ("#SBATCH --nodes=2", f"job     {watched.job.id}", "-m orchestrator.status", str(watched.job.run)):
        assert text in watched.job.printed
