"""What several folders of tests share: the demo model, gangs of real processes, and the main command."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

PROJECT = Path(__file__).resolve().parents[1]
GANG_SCRIPT = PROJECT / "tests" / "parallel" / "gang.py"

# How long an example takes says more about the machine than about the code.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

CLUSTER_VARIABLES = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "RAY_ADDRESS",
    "RAY_AUTH_TOKEN",
)


def pytest_configure() -> None:
    """A shell that runs the tests in the background has them and what they start ignore Ctrl-C, which some send."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment less what a cluster may have put there; one thread a process."""
    kept = {name: value for name, value in os.environ.items() if name not in CLUSTER_VARIABLES}
    return {**kept, "OMP_NUM_THREADS": "1", **more}


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the demo model: one that is trained further meanwhile does not change under the tests."""
    folder = tmp_path_factory.mktemp("model") / "tiny_wan"
    shutil.copytree(PROJECT / "tiny_wan" / "weights", folder)
    return folder


@pytest.fixture(scope="session")
def command_environment() -> Callable[..., dict[str, str]]:
    """`command_environment(NAME="value")`: the environment that the tests' processes get."""
    return clean_environment


@pytest.fixture(scope="session")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`launch("+job=demo", …)`: the main command in a process of its own, in a folder that is not the project's."""

    def run(
        *arguments: str, cwd: Path | None = None, timeout: float = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "orchestrator.launch", *arguments],
            cwd=cwd or tmp_path_factory.mktemp("cwd"),
            env=clean_environment(**environment),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def gang(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[int, list[Any]]]:
    """`gang(FILE, "function", [1, 2, 4], …)`: what `function(rank, world_size, …)` of FILE returned on every rank.

    Each gang is made of real processes that have joined one gloo group; the answer is by number of ranks, then a list
    by rank. Keyword arguments travel as JSON.
    """
    import torch

    def run(
        task_file: Path, function: str, world_sizes: Sequence[int], *, timeout: float = 180, **arguments: object
    ) -> dict[int, list[Any]]:
        output = tmp_path_factory.mktemp("gang")
        done = subprocess.run(
            [
                *(sys.executable, str(GANG_SCRIPT), str(task_file), function),
                *(json.dumps(list(world_sizes)), json.dumps(arguments), str(output)),
            ],
            # Packages of others bring folders named like some of the project's, which would be found first.
            env=clean_environment(PYTHONPATH=str(PROJECT)),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return {
            world_size: [
                torch.load(output / f"{world_size}-{rank}.pt", weights_only=False) for rank in range(world_size)
            ]
            for world_size in world_sizes
        }

    return run


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For small tensors, and where numbers of one thread are compared with numbers of one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
