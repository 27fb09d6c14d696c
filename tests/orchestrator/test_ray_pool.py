"""A gang of two ranks on a real Ray, which it joins as if it were a cluster; and a launch that joins it too."""

import io
import os
import platform
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import light_actor
import psutil
import pytest
from light_actor import LightActor
from rich.console import Console

from orchestrator.artifacts import RunFolder, sha256_of
from orchestrator.choices import ClusterKind
from orchestrator.launch_plan import plan_launch
from orchestrator.pool import Command, GangLost, GangReady, Reply
from orchestrator.ray_environment import prepare_environment
from orchestrator.run import run_plan
from orchestrator.scheduler import run_batch
from orchestrator.sidecar import Provenance
from orchestrator.view import Silent
from parallel.layout import Layout

pytestmark = pytest.mark.alone

NUM_CPUS = 2


@pytest.fixture(scope="module")
def ray_address(plan):
    """Ray of this test file, with room for two ranks; its address."""
    patch = pytest.MonkeyPatch()
    patch.setenv("OMP_NUM_THREADS", "1")
    for variable in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ADDRESS"):
        patch.delenv(variable, raising=False)
    prepare_environment(own_cluster=True)
    import ray

    from orchestrator.ray_cluster import ray_cluster

    ray.cloudpickle.register_pickle_by_value(light_actor)  # ranks do not find the tests' modules
    with ray_cluster(replace(plan.cluster, kind=ClusterKind.LOCAL), plan.layout, plan.decoders):
        yield ray.get_runtime_context().gcs_address
    patch.undo()


@pytest.fixture(scope="module")
def plan(model_folder, tmp_path_factory):
    """A gang of two ranks, two small videos."""
    from orchestrator.config import LaunchConfig

    batch = tmp_path_factory.mktemp("batch") / "prompts.txt"
    batch.write_text("a large red circle\na large blue square\n")
    config = LaunchConfig(batch=str(batch), output=str(tmp_path_factory.mktemp("ray") / "run"))
    config.job.name = "demo"
    model, video = config.model, config.video
    model.name, model.path, model.num_attention_heads, model.dtype = "tiny_wan", str(model_folder), 8, "float32"
    model.max_sequence_length, model.needs_gpu, model.max_pixels, model.max_frames = 24, False, 192 * 192, 33
    video.height, video.width, video.num_frames, video.fps = 64, 64, 5, 8
    config.denoise.num_steps = 8
    config.cluster.device, config.parallel.ulysses = "cpu", NUM_CPUS
    config.cluster.kind, config.cluster.address = "ray", "the tests' own"
    return plan_launch(config)


@pytest.fixture(scope="module")
def pool(plan, ray_address):
    from orchestrator.ray_pool import RayPool

    pool = RayPool(plan)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def rendered_alone(plan, tmp_path_factory):
    """The same batch without Ray: the videos' sha256 by id."""
    alone = replace(
        plan,
        layout=Layout(ulysses=1),
        cluster=replace(plan.cluster, kind=ClusterKind.NONE),
        run_folder=RunFolder(tmp_path_factory.mktemp("alone")),
    )
    run_plan(alone, console=Console(file=io.StringIO()))
    return digests(alone)


def wait_for(pool, kind):
    """The next event, which must be of this kind."""
    while (event := pool.next_event(1.0)) is None:
        pass
    assert isinstance(event, kind), event
    return event


def digests(plan) -> dict[str, str]:
    return {name: sha256_of(plan.run_folder.video(name).video) for name in plan.requests}


@pytest.fixture(scope="module")
def rendered(pool, plan):
    """The batch, rendered; the machines that the gang was on."""
    machines = {}

    class Machines(Silent):
        def gang_ready(self, gang, nodes):
            machines[gang] = nodes

    provenance = Provenance(job_name="demo", command="pytest", git_revision=None)
    outcome = run_batch(pool, plan.requests, plan.run_folder, provenance, Machines())
    assert not outcome.failed
    return machines


def test_gang_renders_a_batch_to_the_bytes_of_one_process(rendered, plan, rendered_alone):
    assert digests(plan) == rendered_alone


def test_gang_says_which_machines_it_is_on(rendered):
    assert rendered == {"gang 0": (platform.node(),)}


def test_gang_without_room_waits_and_a_smaller_one_takes_its_place(rendered, pool, plan, monkeypatch):
    """The gang above has all that there is."""
    monkeypatch.setattr("orchestrator.ray_pool.PLACEMENT_SECONDS", 1.0)
    waiting = type(pool)(plan)
    assert waiting.next_event(3.0) is None
    assert waiting.layout_of("gang 0") == plan.layout, "at first it waits for what was asked for"
    waiting._gangs["gang 0"].is_rebuilt = True
    assert waiting.next_event(2.5) is None
    assert waiting.layout_of("gang 0") == Layout()
    waiting.close()


def test_error_of_a_rank_reaches_the_caller_with_its_own_traceback(pool):
    [gang] = pool.gangs
    pool.submit(gang, Command("encode", ("0" * 16, "no request")))
    lost = wait_for(pool, GangLost)
    assert lost.gang == gang
    for part in ("rank ", f" on {platform.node()} failed", "AttributeError"):
        assert part in lost.cause
    assert "\n" not in lost.cause
    assert "worker.py" in lost.details


def test_gang_is_built_again_and_works(pool, plan):
    ready = wait_for(pool, GangReady)
    pool.submit(ready.gang, Command("prepare", (("a red circle",),)))
    assert wait_for(pool, Reply).gang == ready.gang


def rank_pids() -> list[int]:
    below = psutil.Process().children(recursive=True)
    return [one.pid for one in below if is_alive(one.pid) and one.name().startswith("ray::RankActor")]


def test_rank_that_is_frozen_is_noticed_within_five_seconds(pool):
    pids = rank_pids()
    assert len(pids) == NUM_CPUS
    begin = time.monotonic()
    os.kill(pids[1], signal.SIGSTOP)
    lost = wait_for(pool, GangLost)
    assert "has been silent for 3 s" in lost.cause
    assert time.monotonic() - begin < 5
    deadline = time.monotonic() + 10
    while any(is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(is_alive(pid) for pid in pids), "killed whole"


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_rank_that_freezes_while_it_loads_is_noticed_and_given_longer_the_next_time(pool, monkeypatch):
    monkeypatch.setattr("orchestrator.ray_pool.SILENT_SECONDS_LOADING", 2.0)
    gang, frozen = pool._gangs["gang 0"], []
    while not frozen:
        assert pool.next_event(0.1) is None
        frozen = [pid for pid in rank_pids() if len(gang.awake) == NUM_CPUS][:1]
    os.kill(frozen[0], signal.SIGSTOP)
    lost = wait_for(pool, GangLost)
    assert "has been silent for 2 s" in lost.cause
    assert pool._silent_seconds(pool._gangs["gang 0"]) == 4.0
    monkeypatch.setattr("orchestrator.ray_pool.SILENT_SECONDS_LOADING", 500.0)
    assert pool._silent_seconds(pool._gangs["gang 0"]) == 120.0, "and no longer than a process may take to start"


def test_failed_gang_gives_its_room_back_once_closed(pool, ray_address):
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    pool.close()
    everything = placement_group([{"CPU": float(NUM_CPUS)}])
    assert everything.wait(30), "the ranks' cores are still taken"
    remove_placement_group(everything)
    assert ray.cluster_resources()["CPU"] == NUM_CPUS


@pytest.fixture
def follow(pool, plan, monkeypatch):
    """`follow(2)`: so many gangs of one light rank that follow what there is; the pool above is closed by now.

    `follow(2, num_decoders=1)`: and so many decode workers.
    """
    monkeypatch.setattr("orchestrator.ray_pool.LOOK_SECONDS", 0.5)
    monkeypatch.setattr("orchestrator.ray_pool.PLACEMENT_SECONDS", 1.0)
    made = []

    def make(num_gangs: int, *, num_decoders: int = 0):
        cluster = replace(plan.cluster, num_gangs=num_gangs, follows_nodes=True, keeps_to_node=True)
        decoders = replace(plan.decoders, count=num_decoders)
        own = replace(plan, layout=Layout(), cluster=cluster, decoders=decoders)
        made.append(type(pool)(own, actor_class=LightActor))
        return made[-1]

    yield make
    for one in made:
        one.close()


@contextmanager
def taken(num_cpus: int) -> Iterator[None]:
    """So many cores, by somebody else."""
    from ray.util.placement_group import placement_group, remove_placement_group

    placement = placement_group([{"CPU": 1.0}] * num_cpus)
    try:
        assert placement.wait(30)
        yield
    finally:
        remove_placement_group(placement)


def test_gang_is_added_only_once_a_video_waits_for_it(follow):
    follower = follow(1)
    assert wait_for(follower, GangReady).gang == "gang 0"
    follower.expect(1)
    assert follower.next_event(2.5) is None
    assert follower.gangs == ("gang 0",)
    follower.expect(5)
    assert wait_for(follower, GangReady).gang == "gang 1"
    assert follower.next_event(2.5) is None
    assert follower.gangs == ("gang 0", "gang 1"), "there is room for no more"


def test_gang_whose_room_does_not_come_back_is_let_go_and_the_others_go_on(follow):
    with taken(1):
        follower = follow(2)
        assert wait_for(follower, GangReady).gang == "gang 0"
        follower.expect(1)
        assert follower.gangs == ("gang 0", "gang 1")
        follower._gangs["gang 1"].is_rebuilt = True
        assert follower.next_event(2.5) is None
        assert follower.gangs == ("gang 0",)
        follower.submit("gang 0", Command("prepare", (("a red circle",),)))
        assert wait_for(follower, Reply).gang == "gang 0"
    follower.expect(2)
    assert wait_for(follower, GangReady).gang == "gang 1", "the room is there again"


def test_gang_that_had_to_shrink_is_built_anew_once_there_is_room_and_videos_wait(pool, plan, monkeypatch):
    """The pool above is closed by now."""
    import ray

    monkeypatch.setattr("orchestrator.ray_pool.LOOK_SECONDS", 0.0)
    monkeypatch.setattr("orchestrator.ray_pool.PLACEMENT_SECONDS", 1.0)
    with taken(1):
        shrunk = type(pool)(plan, actor_class=LightActor)
        shrunk._gangs["gang 0"].is_rebuilt = True
        assert wait_for(shrunk, GangReady).gang == "gang 0"
        assert shrunk.layout_of("gang 0") == Layout()
        shrunk.expect(5)
        assert not shrunk.enlarge("gang 0"), "there is no room yet"
    deadline = time.monotonic() + 30
    while ray.available_resources().get("CPU") != 1.0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    shrunk.expect(1)
    assert not shrunk.enlarge("gang 0"), "no video is left that it would be worth"
    shrunk.expect(5)
    assert shrunk.enlarge("gang 0")
    assert wait_for(shrunk, GangReady).gang == "gang 0"
    assert shrunk.layout_of("gang 0") == plan.layout
    assert not shrunk.enlarge("gang 0"), "it is as large as planned"
    shrunk.close()


def test_rank_that_stays_in_one_command_for_too_long_is_given_up_though_it_answers(pool, plan):
    """The pool above is closed by now."""
    light = type(pool)(plan, actor_class=LightActor)
    gang = wait_for(light, GangReady).gang
    light.submit(gang, Command("prepare", (("done at once",),)), limit_seconds=1.0)
    wait_for(light, Reply)
    begin = time.monotonic()
    light.submit(gang, Command("prepare", (("hang",),)), limit_seconds=5.0)
    lost = wait_for(light, GangLost)
    assert time.monotonic() - begin >= 5.0, "it answers, and is not taken for silent"
    assert lost.cause.startswith("rank 0 on ") and "rank 1 on " in lost.cause and " hangs: " in lost.cause
    assert wait_for(light, GangReady).gang == gang, "built again"
    light.close()


def test_gang_shrinks_at_once_to_what_there_is_room_for(pool, plan, monkeypatch):
    """The pool above is closed by now."""
    monkeypatch.setattr("orchestrator.ray_pool.PLACEMENT_SECONDS", 1.0)
    asked, begin = [], type(pool)._begin

    def note(self, name, wanted=None, **options):
        asked.append((wanted or self._plan).layout.world_size)
        begin(self, name, wanted, **options)

    monkeypatch.setattr(type(pool), "_begin", note)
    large = type(pool)(replace(plan, layout=Layout(ulysses=8)), actor_class=LightActor)
    large._gangs["gang 0"].is_rebuilt = True
    assert wait_for(large, GangReady).gang == "gang 0"
    assert asked == [8, NUM_CPUS], "seven, six and so on would be waited for in vain, each for a while"
    large.close()


def test_no_gang_is_added_where_a_decode_worker_waits_for_its_place(follow):
    with taken(1):
        follower = follow(1, num_decoders=1)
        assert wait_for(follower, GangReady).gang == "gang 0"
        follower.expect(5)
        assert follower.next_event(2.5) is None
        assert follower.gangs == ("gang 0",)
    assert wait_for(follower, GangReady).gang == "decoder 0"


def test_last_gang_is_not_let_go(follow):
    with taken(NUM_CPUS):
        follower = follow(1)
        follower._gangs["gang 0"].is_rebuilt = True
        assert follower.next_event(3.0) is None
        assert follower.gangs == ("gang 0",)
    assert wait_for(follower, GangReady).gang == "gang 0"


def test_gang_whose_node_dies_between_its_place_and_its_ranks_is_built_again(follow, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("orchestrator.ray_gang.placement_group_table", lambda _: {"bundles_to_node_id": {0: "f" * 56}})
        follower = follow(1)
        lost = wait_for(follower, GangLost)
    assert (lost.gang, lost.cause) == ("gang 0", "the node of rank 0 was lost before the rank began")
    while isinstance(event := wait_for(follower, GangLost | GangReady), GangLost):
        pass  # built again before the node was there
    assert event.gang == "gang 0"


def test_gang_that_fails_again_and_again_to_be_built_is_let_rest_and_tried_again(follow, monkeypatch):
    monkeypatch.setattr("orchestrator.ray_pool.PAUSE_SECONDS", 3.0)
    with monkeypatch.context() as patch:
        patch.setattr("orchestrator.ray_gang.placement_group_table", lambda _: {"bundles_to_node_id": {0: "f" * 56}})
        follower = follow(1)
        for _ in range(3):
            wait_for(follower, GangLost)
        assert follower.next_event(1.5) is None
        assert follower.gangs == ("gang 0",) and not follower.is_loading(follower.gangs)
    assert wait_for(follower, GangReady).gang == "gang 0"


@pytest.mark.parametrize("where", ["a call", "a sign of life"])
def test_any_error_of_ray_s_own_is_the_gang_s_loss(follow, where):
    """Its worker crashes: that is neither an actor's death nor what a task has raised."""
    import ray

    crash = ray.remote(num_cpus=0, max_retries=0)(lambda: os._exit(1)).remote()
    with taken(NUM_CPUS):
        follower = follow(1)
        if where == "a call":
            follower._gangs["gang 0"].pending = {crash: 0}
        else:
            follower._gangs["gang 0"].beats = {crash: (0, time.monotonic())}
        lost = wait_for(follower, GangLost)
        assert lost.cause.startswith("rank 0 failed: WorkerCrashedError: ")


@pytest.fixture
def join(launch, model_folder):
    """Launch with the main command on a Ray that is there."""

    def run(address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return launch(
            *("+job=demo", "cluster=ray", f"cluster.address={address}", f"model.path={model_folder}", *arguments),
            RAY_AUTH_TOKEN=os.environ["RAY_AUTH_TOKEN"],
        )

    return run


def test_cluster_that_is_too_small_is_refused_and_left_as_it_was(join, ray_address, tmp_path):
    import ray

    refused = join(ray_address, f"output={tmp_path}/run", "cluster.num_gangs=2")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1] == (
        "error: cluster.num_gangs=2 gangs of 2 ranks (ulysses 2) need 4 CPUs, the Ray cluster has 2"
    )
    assert list(tmp_path.iterdir()) == []
    assert ray.cluster_resources()["CPU"] == NUM_CPUS


def test_dry_run_asks_a_cluster_what_it_has_and_leaves_it_as_it_was(join, ray_address, tmp_path):
    import ray

    told = join(ray_address, f"output={tmp_path}/run", "cluster.num_gangs=null", "parallel=auto", "dry_run=true")
    assert told.returncode == 0, told.stderr
    assert "2 gangs of one rank on cpu, cluster ray, as many as have room" in told.stdout + told.stderr
    assert list(tmp_path.iterdir()) == []
    assert ray.cluster_resources()["CPU"] == NUM_CPUS


def test_cluster_that_does_not_answer_is_refused(join, ray_address, tmp_path):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # taken, and nobody listens
        refused = join(f"127.0.0.1:{held.getsockname()[1]}", f"output={tmp_path}/run")
    assert refused.returncode == 2
    assert "could not be joined" in refused.stderr
