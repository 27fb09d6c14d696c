"""Run a checked plan: bring up the gangs, render the batch, and take everything down again."""

import logging
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext

from rich.console import Console

from orchestrator.choices import ClusterKind
from orchestrator.errors import GangFailed, RayLost
from orchestrator.launch_plan import LaunchPlan
from orchestrator.launch_record import LaunchRecord, publish_entries
from orchestrator.lease import lease
from orchestrator.policy import Stop
from orchestrator.pool import Pool, decoder_names
from orchestrator.process_tree import no_process_left
from orchestrator.progress import make_view
from orchestrator.ray_environment import prepare_environment
from orchestrator.scheduler import Outcome, run_batch
from orchestrator.sidecar import Provenance, command_line, git_revision
from orchestrator.termination import Terminated, stopping_gently, terminated_like_interrupted
from orchestrator.view import Silent, View, Views

log = logging.getLogger("orchestrator")

MOST_LOSSES = 3
"""How often in a row Ray may be lost without a video done in between, before the launch gives up."""


def run_plan(plan: LaunchPlan, *, console: Console, is_first_rank: bool = True) -> Outcome:
    """Render every video of the plan that is neither done nor set aside.

    Args:
        plan: checked.
        console: where progress is shown.
        is_first_rank: False on the further ranks of torchrun, which show nothing.

    Raises:
        GangFailed: no gang could be had, or Ray is lost again and again.
        BadInput: the Ray cluster cannot be joined or is too small, or another launch renders the same.
    """
    provenance = Provenance(job_name=plan.job_name, command=command_line(), git_revision=git_revision())
    if all(plan.run_folder.video(video_id).is_done for video_id in plan.entries):
        if is_first_rank:
            _clear(plan)
            _publish_entries(plan, provenance)
        return Outcome()
    record = LaunchRecord(plan.run_folder, str(plan.shard))
    view: View = Silent()
    if is_first_rank:
        decoders = decoder_names(plan.decoders.count)
        view = Views(make_view(plan.cluster.num_gangs, console, decoders=decoders), record)
    stop = Stop()
    with closing(view):
        outcome = _render(plan, view, record, provenance, stop, is_first_rank=is_first_rank)
    if outcome.is_stopped and stop.reason != signal.SIGINT.name:
        raise Terminated
    if outcome.is_stopped:
        raise KeyboardInterrupt
    return outcome


def _render(
    plan: LaunchPlan, view: View, record: LaunchRecord, provenance: Provenance, stop: Stop, *, is_first_rank: bool
) -> Outcome:
    """Render on Ray or without; on a Ray that is started again where it was lost."""
    _prepare(plan)
    failures = 0
    while True:
        num_done = _num_done(plan)
        try:
            return _render_once(plan, view, record, provenance, stop, is_first_rank=is_first_rank)
        except RayLost as loss:
            failures = failures + 1 if _num_done(plan) == num_done else 1
            if failures >= MOST_LOSSES:
                raise GangFailed(f"{loss}, {failures} times in a row without a video done in between") from loss
            log.warning("%s, and all gangs with it; Ray is started again", loss)


def _render_once(
    plan: LaunchPlan, view: View, record: LaunchRecord, provenance: Provenance, stop: Stop, *, is_first_rank: bool
) -> Outcome:
    with _cluster(plan, view), _lease(plan) if is_first_rank else nullcontext():
        if is_first_rank:  # not sooner: a cluster that refuses the launch leaves no trace of it
            _clear(plan)
            _publish_entries(plan, provenance)
            record.open()
        with _pool(plan, view) as pool, _metered(plan, pool, view) as (pool, told), stopping_gently(stop):
            return run_batch(
                pool,
                plan.requests,
                plan.run_folder,
                provenance,
                told,
                policy=plan.policy,
                stop=stop,
                priorities={video_id: entry.priority for video_id, entry in plan.entries.items()},
            )


def _num_done(plan: LaunchPlan) -> int:
    return sum(plan.run_folder.video(video_id).is_done for video_id in plan.entries)


def _clear(plan: LaunchPlan) -> None:
    """Remove what killed launches have left."""
    for video_id in plan.run_folder.video_ids() & plan.entries.keys():
        plan.run_folder.video(video_id).clear()


def _lease(plan: LaunchPlan) -> AbstractContextManager[None]:
    return lease(plan.run_folder.launch_lease(str(plan.shard)), what=f"output={plan.run_folder.root}")


def _publish_entries(plan: LaunchPlan, provenance: Provenance) -> None:
    publish_entries(plan.run_folder, str(plan.shard), plan.entries.values(), provenance)


def _prepare(plan: LaunchPlan) -> None:
    """Once: a process keeps the token that it has first shown to Ray."""
    if plan.cluster.kind is not ClusterKind.NONE:
        prepare_environment(own_cluster=plan.cluster.kind is ClusterKind.LOCAL, metrics=plan.cluster.metrics)


@contextmanager
def _cluster(plan: LaunchPlan, view: View) -> Iterator[None]:
    """Ray, where the plan asks for it, with room for the gangs."""
    if plan.cluster.kind is ClusterKind.NONE:
        yield
        return
    view.starting(
        f"joining Ray at {plan.cluster.address}" if plan.cluster.address else "starting Ray on this machine"
    )
    from orchestrator.ray_cluster import ray_cluster  # noqa: PLC0415

    with no_process_left(), ray_cluster(plan.cluster, plan.layout, plan.decoders):
        yield


@contextmanager
def _metered(plan: LaunchPlan, pool: Pool, view: View) -> Iterator[tuple[Pool, View]]:
    """The pool and the view, with numbers given to Ray's metrics where the plan asks for them."""
    if not plan.cluster.metrics:
        yield pool, view
        return
    from orchestrator.metrics import BatchMetrics, MeteredPool  # noqa: PLC0415
    from orchestrator.ray_metrics import RaySink, metrics_address  # noqa: PLC0415

    log.info("metrics at %s", metrics_address() or "no port: Ray was started without its extras or metrics")
    metrics = BatchMetrics(RaySink(job=plan.job_name, run=plan.run_folder.root.name))
    try:
        yield MeteredPool(pool, metrics), Views(view, metrics)
    finally:
        metrics.flush(at_once=True)


@contextmanager
def gangs_of(plan: LaunchPlan, console: Console) -> Iterator[Pool]:
    """The plan's gangs with the model loaded, for work that renders no batch."""
    view = make_view(plan.cluster.num_gangs, console)
    _prepare(plan)
    with closing(view), _cluster(plan, view), _pool(plan, view) as pool:
        yield pool


@contextmanager
def _pool(plan: LaunchPlan, view: View) -> Iterator[Pool]:
    """The gangs that the plan asks for, with the model loaded; gone at the end."""
    if plan.cluster.kind is ClusterKind.NONE:
        view.starting(f"loading {plan.model.name} in this process")
        from orchestrator.local_pool import LocalPool  # noqa: PLC0415 - this path needs no Ray

        with closing(LocalPool(plan)) as pool:
            yield pool
        return
    view.starting(f"starting {plan.cluster.num_gangs * plan.layout.world_size} ranks and loading {plan.model.name}")
    from orchestrator.ray_pool import RayPool  # noqa: PLC0415

    with terminated_like_interrupted(), closing(RayPool(plan)) as pool:
        yield pool
