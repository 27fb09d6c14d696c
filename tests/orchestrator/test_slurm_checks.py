"""What is refused before it is submitted: the line names field, value and what there is."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import BadInput
from orchestrator.slurm_checks import (
    JobShape,
    SharedFolder,
    check_cluster_has,
    check_settings,
    check_shape,
    check_shared,
)
from orchestrator.slurm_config import SlurmConfig
from orchestrator.slurm_query import Node, Partition, SlurmState

STATE = SlurmState(
    partitions=[
        Partition(name="gpu", is_default=True, max_time="1-00:00:00"),
        Partition(name="cpu", is_default=False, max_time="infinite"),
    ],
    nodes=[
        *(Node(name=f"g{i}", num_cpus=64, num_gpus=8, gpu_type="h100", partitions=("gpu",)) for i in range(2)),
        Node(name="g2", num_cpus=32, num_gpus=4, gpu_type="h100", partitions=("gpu",)),
        Node(name="c1", num_cpus=16, num_gpus=0, gpu_type=None, partitions=("cpu",)),
    ],
)
HOUR = 3600


def check(slurm: SlurmConfig, *, cpus: int = 8, seconds: int = HOUR):
    return check_cluster_has(slurm, STATE, cpus_per_node=cpus, seconds=seconds)


def test_nodes_that_fit_are_named():
    assert [node.name for node in check(SlurmConfig(nodes=2))] == ["g0", "g1"]
    assert len(check(SlurmConfig(nodes=3, gpus_per_node=4))) == 3
    assert [node.name for node in check(SlurmConfig(partition="cpu", gpus_per_node=0))] == ["c1"]


@pytest.mark.parametrize(
    ("slurm", "more", "parts"),
    [
        (SlurmConfig(partition="gpus"), {}, ["slurm.partition=gpus", "gpu, cpu"]),
        (SlurmConfig(gpus_per_node=16), {}, ["slurm.gpus_per_node=16", "the most on one of its nodes is 8"]),
        (SlurmConfig(nodes=3), {}, ["slurm.nodes=3", "2 nodes with so many GPUs"]),
        (SlurmConfig(nodes=9), {}, ["slurm.nodes=9", "partition gpu has: 3"]),
        (SlurmConfig(), {"cpus": 100}, ["100 CPU cores", "the most on one is 64"]),
        (SlurmConfig(time="2d"), {"seconds": 48 * HOUR}, ["slurm.time=2d", "1-00:00:00"]),
    ],
)
def test_what_the_cluster_has_not_is_refused(slurm, more, parts):
    with pytest.raises(BadInput) as caught:
        check(slurm, **more)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_partition_must_be_given_where_there_is_no_default():
    none = SlurmState(partitions=[replace(one, is_default=False) for one in STATE.partitions], nodes=STATE.nodes)
    with pytest.raises(BadInput, match=r"slurm\.partition is not set"):
        check_cluster_has(SlurmConfig(), none, cpus_per_node=1, seconds=HOUR)


@pytest.mark.parametrize(
    ("slurm", "parts"),
    [
        (SlurmConfig(nodes=0), ["slurm.nodes=0", "at least 1"]),
        (SlurmConfig(array=0), ["slurm.array=0"]),
        (SlurmConfig(array_at_once=2), ["slurm.array_at_once=2", "slurm.array"]),
        (SlurmConfig(gpus_per_node=-1), ["slurm.gpus_per_node=-1"]),
        (SlurmConfig(time="soon"), ["slurm.time=soon", "8h"]),
        (SlurmConfig(time="4m"), ["slurm.time=4m", "slurm.signal_seconds=300"]),
        (SlurmConfig(tmp="scratch"), ["slurm.tmp=scratch", "absolute"]),
        (SlurmConfig(tmp="/" + "x" * 40), ["slurm.tmp=/xxx", "28 characters"]),
        (SlurmConfig(shared_folder="perhaps"), ["slurm.shared_folder=perhaps", "warn, error, off"]),
    ],
)
def test_settings_out_of_range_are_refused(slurm, parts):
    with pytest.raises(BadInput) as caught:
        check_settings(slurm)
    assert all(part in str(caught.value) for part in parts), caught.value


@pytest.mark.parametrize(
    ("nodes", "per_node", "per_gang", "gangs"),
    [
        (1, 8, 8, 1),
        (2, 8, 4, 4),
        (2, 8, 3, 4),
        (2, 8, 16, 1),
        (3, 8, 16, 1),
        (4, 8, 16, 2),
        (1, 8, 16, 0),
        (0, 8, 1, 0),
    ],
)
def test_gangs_share_no_node_that_they_need_not(nodes, per_node, per_gang, gangs):
    shape = JobShape(
        nodes=nodes, ranks_per_node=per_node, ranks_per_gang=per_gang, cpus_per_rank=1, gpus_per_node=per_node
    )
    assert shape.num_gangs == gangs


def test_gangs_without_room_are_refused():
    shape = JobShape(nodes=1, ranks_per_node=8, ranks_per_gang=16, cpus_per_rank=1, gpus_per_node=8)
    with pytest.raises(BadInput, match=r"slurm\.nodes=1 .*room for 0 gangs of 16 ranks, not for 1"):
        check_shape(shape, num_gangs=0)
    check_shape(replace(shape, nodes=2), num_gangs=1)
    with pytest.raises(BadInput, match=r"not for 2"):
        check_shape(replace(shape, nodes=2), num_gangs=2)


def test_decode_workers_take_cores_beside_the_ranks_or_gpus_from_them():
    shape = JobShape(nodes=2, ranks_per_node=8, ranks_per_gang=8, cpus_per_rank=4, gpus_per_node=8)
    on_cpu, on_gpu = replace(shape, decoders_per_node=1), replace(shape, gpu_decoders=1)
    assert (on_cpu.cpus_per_node, on_cpu.num_gangs) == (36, 2)
    assert (on_gpu.cpus_per_node, on_gpu.num_gangs) == (32, 1)
    with pytest.raises(BadInput, match=r"decode\.workers=1 on GPUs of their own, .*room for 0 gangs of 8 ranks"):
        check_shape(replace(on_gpu, nodes=1), num_gangs=0)


def test_folder_that_does_not_look_shared_is_warned_of_or_refused():
    assert "output=/proc" in (check_shared(Path("/proc"), SharedFolder.WARN) or "")
    assert check_shared(Path("/proc"), SharedFolder.OFF) is None
    with pytest.raises(BadInput, match="share"):
        check_shared(Path("/proc"), SharedFolder.ERROR)
