"""Gangs from what there is and what the configuration says: no rank runs here."""

import json
from pathlib import Path

import pytest
from planning import pretend_gpus, refusal_of

from orchestrator.errors import BadInput
from orchestrator.launch_plan import plan_launch
from orchestrator.room import Room
from parallel.layout import Layout


@pytest.fixture
def batch(config, tmp_path):
    """`batch(5)`: the configuration of a batch of five videos on one machine."""

    def make(count: int):
        path = tmp_path / "prompts.txt"
        path.write_text("\n".join(f"a circle, number {index}" for index in range(count)))
        config.prompt, config.batch, config.cluster.kind = None, str(path), "local"
        return config

    return make


def on_cluster(config, *nodes: int, gpu_type: str | None = None, device: str = "cuda"):
    """Its plan, on a Ray cluster with room for so many ranks on each node; and how often it was asked."""
    asked = []

    def ask_room(of):
        asked.append(of)
        return Room(nodes=nodes, gpu_type=gpu_type)

    config.cluster.kind, config.cluster.address, config.cluster.device = "ray", "head:6379", device
    return plan_launch(config, ask_room=ask_room), asked


def shape(plan) -> tuple[int, Layout]:
    return plan.cluster.num_gangs, plan.layout


def test_as_many_gangs_as_have_room_but_no_more_than_videos(batch, monkeypatch):
    pretend_gpus(monkeypatch, 8)
    config = batch(5)
    config.cluster.device, config.parallel.ulysses = "cuda", 2
    assert shape(plan_launch(config)) == (4, Layout(ulysses=2))
    assert plan_launch(config).gangs_because == "as many as have room"
    config.parallel.ulysses = 1
    plan = plan_launch(config)
    assert shape(plan) == (5, Layout())
    assert plan.gangs_because == "one for each video; 8 would have room"


def test_finished_videos_and_repeated_rows_need_no_gang(batch, monkeypatch, tmp_path):
    pretend_gpus(monkeypatch, 8)
    config = batch(5)
    config.cluster.device, config.parallel.ulysses = "cuda", 1
    with Path(config.batch).open("a", encoding="utf-8") as file:
        file.write("\na circle, number 0")
    plan = plan_launch(config)
    assert plan.cluster.num_gangs == 5
    done = plan.run_folder.video(next(iter(plan.entries)))
    done.root.mkdir(parents=True)
    for path in (done.sidecar, done.video):
        path.write_text(json.dumps({}))
    assert plan_launch(config).cluster.num_gangs == 4


def test_number_that_was_asked_for_holds_and_needs_no_reason(batch, monkeypatch):
    pretend_gpus(monkeypatch, 8)
    config = batch(5)
    config.cluster.device, config.cluster.num_gangs = "cuda", 2
    plan = plan_launch(config)
    assert shape(plan) == (2, Layout(cfg=2, ulysses=2))
    assert plan.gangs_because == "" and not plan.cluster.follows_nodes


def test_on_a_cluster_all_nodes_have_gangs_and_gangs_follow_the_nodes(batch):
    plan, asked = on_cluster(batch(100), 8, 8, 8)
    assert shape(plan) == (3, Layout(cfg=2, ulysses=4))
    assert plan.cluster.follows_nodes and plan.cluster.keeps_to_node
    assert len(asked) == 1


def test_gang_that_is_larger_than_a_node_may_spread(batch):
    config = batch(100)
    config.parallel.ring, config.model.dtype = 16, "bfloat16"
    plan, _ = on_cluster(config, 8, 8, 8, 8)
    assert shape(plan) == (2, Layout(ring=16))
    assert plan.cluster.follows_nodes and not plan.cluster.keeps_to_node


def test_cluster_is_not_asked_where_everything_was_said(batch):
    config = batch(5)
    config.parallel.ulysses, config.cluster.num_gangs = 2, 3
    plan, asked = on_cluster(config, 1)
    assert shape(plan) == (3, Layout(ulysses=2)) and asked == []


def test_cluster_is_not_asked_before_the_batch_was_read(batch):
    config = batch(5)
    config.batch = "none.txt"
    with pytest.raises(BadInput, match=r"none\.txt"):
        on_cluster(config, 8)


def test_cpu_cluster_has_as_many_gangs_as_its_cores_suffice_for(batch):
    config = batch(100)
    config.parallel.ulysses = 2
    plan, _ = on_cluster(config, 4, 3, 1, device="cpu")
    assert shape(plan) == (3, Layout(ulysses=2))


def test_decode_workers_on_gpus_take_theirs_first(batch):
    config = batch(100)
    config.parallel.ulysses, config.decode.workers, config.decode.device = 1, 2, "cuda"
    plan, _ = on_cluster(config, 4, 4)
    assert plan.cluster.num_gangs == 6


@pytest.mark.parametrize("objective", ["latency", "THROUGHPUT"])
def test_objective_sizes_the_gangs_and_says_why(batch, objective):
    config = batch(100)
    config.job.objective = objective
    plan, asked = on_cluster(config, 8, gpu_type="H200")
    assert len(asked) == 1
    assert f"for {objective.lower()}: " in plan.gangs_because and "(figures of H200)" in plan.gangs_because


def test_latency_makes_larger_gangs_than_throughput_where_that_pays(batch):
    """The demo model, on cores of a CPU."""
    sizes = {}
    for objective in ("latency", "throughput"):
        config = batch(100)
        config.job.objective = objective
        plan, _ = on_cluster(config, 2, device="cpu")
        sizes[objective] = (plan.cluster.num_gangs, plan.layout.world_size)
    assert sizes == {"latency": (1, 2), "throughput": (2, 1)}


def test_objective_and_a_layout_are_refused_together(batch):
    config = batch(5)
    config.job.objective, config.parallel.ulysses = "latency", 2
    assert refusal_of(config) == (
        "job.objective=latency chooses the layout, which parallel.ulysses=2 gives already: take parallel=auto, or "
        "job.objective=null"
    )


def test_objective_needs_ray(batch):
    config = batch(5)
    config.job.objective, config.cluster.kind = "throughput", "none"
    assert "job.objective=throughput needs Ray" in refusal_of(config)


def test_objective_is_one_of_two_words(batch):
    config = batch(5)
    config.job.objective = "speed"
    assert refusal_of(config) == "job.objective=speed must be one of: latency, throughput"


def test_layout_does_not_change_as_the_batch_goes_on(batch, monkeypatch):
    """Checkpoints hold the whole state for their own layout alone."""
    config = batch(4)
    config.job.objective = "throughput"
    before, _ = on_cluster(config, 4)
    for video_id in list(before.entries)[:3]:
        done = before.run_folder.video(video_id)
        done.root.mkdir(parents=True)
        for path in (done.sidecar, done.video):
            path.write_text(json.dumps({}))
    after, _ = on_cluster(config, 4)
    assert after.layout == before.layout and after.cluster.num_gangs == 1
