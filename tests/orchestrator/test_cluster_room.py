"""Ranks that have room beside those that are there, from what Ray says of its nodes."""

from orchestrator.choices import Device
from orchestrator.cluster_room import beside_decoders, left_beside, rank_resources, room_of
from orchestrator.config import DecodeConfig
from orchestrator.room import Room

GPU_NODE = {"CPU": 16.0, "GPU": 8.0, "accelerator_type:H200": 1.0, "memory": 1e12}
ON_GPU, ON_CPU = (rank_resources(device, 2) for device in (Device.CUDA, Device.CPU))


def test_rank_takes_its_cores_and_a_gpu_where_it_computes_on_one():
    assert ON_GPU == {"CPU": 2.0, "GPU": 1.0}
    assert ON_CPU == {"CPU": 2.0}


def test_room_is_the_gpus_of_the_nodes_that_have_any_and_their_kind():
    assert room_of([{"CPU": 4.0}, GPU_NODE, GPU_NODE], ON_GPU) == Room(nodes=(8, 8), gpu_type="H200")
    assert room_of([{"CPU": 5.0}, {"CPU": 1.0}], ON_CPU) == Room(nodes=(2,))


def test_what_is_taken_is_taken_from_its_own_node():
    nodes = {"a": GPU_NODE, "b": GPU_NODE}
    assert left_beside(nodes, [("a", ON_GPU)] * 3, ON_GPU).nodes == (5, 8)
    assert left_beside(nodes, [("a", ON_GPU)] * 8, ON_GPU).nodes == (8,)


def test_ranks_on_a_node_that_has_left_take_nothing():
    assert left_beside({"a": GPU_NODE}, [("gone", ON_GPU)] * 8, ON_GPU).nodes == (8,)


def test_decode_workers_on_the_cpu_leave_the_gpus_but_may_take_the_cores_that_ranks_need():
    assert left_beside({"a": GPU_NODE}, [("a", ON_CPU)], ON_GPU).nodes == (7,)


def test_decode_workers_on_the_cpu_have_cores_that_ranks_on_the_cpu_do_not_get():
    room = Room(nodes=(3, 3))
    on_cpu, on_gpu = DecodeConfig(workers=1), DecodeConfig(workers=1, device="cuda")
    assert beside_decoders(room, on_cpu, Device.CPU).num_ranks == 5
    assert beside_decoders(room, on_cpu, Device.CUDA) == room
    assert beside_decoders(room, on_gpu, Device.CPU) == room
