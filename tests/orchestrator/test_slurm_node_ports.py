"""Ray as a job's head has it: several jobs' on one machine, and closed to who has no token."""

import secrets
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from orchestrator.slurm_node import PORTS_OF_A_HEAD, UP
from orchestrator.slurm_steps import ray_environment

pytestmark = pytest.mark.alone


class Head:
    """Of one job."""

    def __init__(self, folder, first_port: int, environment) -> None:
        folder.mkdir()
        (folder / "witness").write_text("x")
        self.environment = ray_environment(secrets.token_hex(32), environment)
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "orchestrator.slurm_node", "--head", "--cpus=1", "--gpus=0"),
                *(f"--first-port={first_port}", "--object-store-mb=80"),
                *(f"--tmp={folder}/t", f"--witness={folder}/witness", "--says=x"),
            ],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.address, self.port = None, 0

    def wait(self) -> None:
        """Until it is up, and at work a while later."""
        said = []
        for line in self._process.stdout:
            said.append(line)
            if self.address is None and line.startswith(UP):
                self.address, _, port = line.removeprefix(UP).strip().rpartition(":")
                self.port = int(port)
            if len([one for one in said if "alive" in one]) == 3:
                return
        pytest.fail("".join(said))

    def ports_for_others(self) -> set[int]:
        """On which its processes listen, of those that it was given."""
        below = psutil.Process(self._process.pid).children(recursive=True)
        listening = {
            one.laddr.port for process in below for one in process.net_connections() if one.status == "LISTEN"
        }
        return listening & {*range(10_001, 10_002), *range(self.port, self.port + PORTS_OF_A_HEAD)}

    def ask_client_port(self, token: str | None) -> str:
        """What a call to the client port is answered with."""
        import grpc

        metadata = [] if token is None else [("authorization", f"Bearer {token}")]
        with grpc.insecure_channel(f"{self.address}:{self.port + 2}") as channel:
            call = channel.unary_unary("/ray.rpc.RayletDriver/ClusterInfo")
            with pytest.raises(grpc.RpcError) as answer:  # nobody serves this caller's empty request
                call(b"", timeout=60, metadata=metadata)
        return answer.value.code().name

    def end(self) -> int:
        self._process.stdin.close()
        return self._process.wait(timeout=60)


@pytest.fixture(scope="module")
def heads(command_environment):
    with tempfile.TemporaryDirectory(prefix="r") as name:  # sockets lie below, whose paths must be short
        both = [Head(Path(name) / str(port), port, command_environment()) for port in (21_000, 21_010)]
        for head in both:
            head.wait()
        yield both
        assert [head.end() for head in both] == [0, 0]


def test_heads_of_two_jobs_share_a_machine(heads):
    one, two = heads
    assert one.port != two.port
    expected = {0, 2} if find_spec("grpc") else {0}
    for head in heads:
        assert head.ports_for_others() == {head.port + offset for offset in expected}


@pytest.mark.skipif(find_spec("grpc") is None, reason="without grpc there is no client port")
def test_client_port_is_for_who_has_the_token(heads):
    one, two = heads
    of_two = two.environment["RAY_AUTH_TOKEN"]
    assert {one.ask_client_port(token) for token in (None, "", "x", of_two)} == {"UNAUTHENTICATED"}
    assert one.ask_client_port(one.environment["RAY_AUTH_TOKEN"]) == "NOT_FOUND", "this one is let in"
