"""What SLURM says of partitions and nodes."""

import pytest

from orchestrator.slurm_query import NoSlurm, SlurmRefused, ask_slurm, parse_nodes, parse_partitions

NODES = """\
NodeName=g1 Arch=x86_64 CoresPerSocket=32 CPUAlloc=0 CPUTot=64 Gres=gpu:h100:8(S:0-1) NodeAddr=g1 Partitions=gpu,all
NodeName=g2 Arch=x86_64 CPUTot=64 Gres=gpu:nvidia_a100_80gb:2,gpu:nvidia_a100_80gb:2,nvme:1 Partitions=gpu
NodeName=g3 CPUTot=16 Gres=gpu:4 Partitions=all
NodeName=c1 CPUTot=128 Gres=(null) Partitions=all
"""


def test_gpus_of_nodes_are_counted_and_named():
    found = {node.name: (node.num_cpus, node.num_gpus, node.gpu_type) for node in parse_nodes(NODES)}
    assert found == {
        "g1": (64, 8, "h100"),
        "g2": (64, 4, "nvidia_a100_80gb"),
        "g3": (16, 4, None),
        "c1": (128, 0, None),
    }
    assert parse_nodes(NODES)[0].partitions == ("gpu", "all")


def test_partitions_with_several_lines_stand_once_and_the_default_is_known():
    found = parse_partitions("main* 1-00:00:00\nlong infinite\nlong infinite\n")
    assert [(one.name, one.is_default, one.max_time) for one in found] == [
        ("main", True, "1-00:00:00"),
        ("long", False, "infinite"),
    ]


def test_missing_slurm_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NoSlurm, match="no SLURM here: sinfo"):
        ask_slurm("sinfo")


def test_what_slurm_complains_of_is_passed_on():
    with pytest.raises(SlurmRefused, match="bash: no such thing"):
        ask_slurm("bash", "-c", "echo no such thing >&2; exit 3")
