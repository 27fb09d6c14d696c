"""Run a checked plan: bring up the gangs, render the batch, and take everything down again."""

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext

from rich.console import Console

from orchestrator.choices import ClusterKind
from orchestrator.launch_plan import LaunchPlan
from orchestrator.launch_record import LaunchRecord, publish_entries
from orchestrator.lease import lease
from orchestrator.page.live import PageView, finish_page
from orchestrator.pair import publish_pairs
from orchestrator.policy import Stop
from orchestrator.pool import Pool
from orchestrator.process_tree import no_process_left
from orchestrator.progress import make_view
from orchestrator.ray_environment import prepare_environment
from orchestrator.scheduler import Outcome, run_batch
from orchestrator.sidecar import Provenance, command_line, git_revision
from orchestrator.termination import Terminated, stopping_gently, terminated_like_interrupted
from orchestrator.view import Silent, View, Views


def run_plan(plan: LaunchPlan, *, console: Console, is_first_rank: bool = True) -> Outcome:
    """Render every video of the plan that is neither done nor set aside.

    Args:
        plan: checked.
        console: where progress is shown.
        is_first_rank: False on the further ranks of torchrun, which show nothing.

    Raises:
        GangFailed: no gang could be had.
        BadInput: the Ray cluster cannot be joined or is too small, or another launch renders the same.
    """
    provenance = Provenance(job_name=plan.job_name, command=command_line(), git_revision=git_revision())
    if all(plan.run_folder.video(video_id).is_done for video_id in plan.renders):
        if is_first_rank:
            _clear(plan)
            _publish_entries(plan, provenance)
            finish_page(plan.run_folder)
        return Outcome()
    record, page = LaunchRecord(plan.run_folder, str(plan.shard)), PageView(plan.run_folder)
    view: View = Views(page, make_view(plan.cluster.num_gangs, console), record) if is_first_rank else Silent()
    stop = Stop()
    with closing(view), _cluster(plan, view), _lease(plan) if is_first_rank else nullcontext():
        if is_first_rank:  # not sooner: a cluster that refuses the launch leaves no trace of it
            _clear(plan)
            _publish_entries(plan, provenance)
            record.open()
            page.open()
        with _pool(plan, view) as pool, stopping_gently(stop):
            outcome = run_batch(
                pool,
                {video_id: entry.request for video_id, entry in plan.renders.items()},
                plan.run_folder,
                provenance,
                view,
                policy=plan.policy,
                stop=stop,
                priorities={video_id: entry.priority for video_id, entry in plan.renders.items()},
            )
    if outcome.is_stopped and stop.reason != signal.SIGINT.name:
        raise Terminated
    if outcome.is_stopped:
        raise KeyboardInterrupt
    if is_first_rank and plan.references.pairs:
        finish_page(plan.run_folder)
    return outcome


def _clear(plan: LaunchPlan) -> None:
    """Remove what killed launches have left."""
    for video_id in (plan.run_folder.video_ids() & plan.entries.keys()) | plan.references.entries.keys():
        plan.run_folder.video(video_id).clear()


def _lease(plan: LaunchPlan) -> AbstractContextManager[None]:
    return lease(plan.run_folder.launch_lease(str(plan.shard)), what=f"output={plan.run_folder.root}")


def _publish_entries(plan: LaunchPlan, provenance: Provenance) -> None:
    publish_entries(plan.run_folder, str(plan.shard), plan.renders.values(), provenance)
    publish_pairs(plan.run_folder, plan.references.pairs)


@contextmanager
def _cluster(plan: LaunchPlan, view: View) -> Iterator[None]:
    """Ray, where the plan asks for it, with room for the gangs."""
    if plan.cluster.kind is ClusterKind.NONE:
        yield
        return
    prepare_environment(own_cluster=plan.cluster.kind is ClusterKind.LOCAL)
    view.starting(
        f"joining Ray at {plan.cluster.address}" if plan.cluster.address else "starting Ray on this machine"
    )
    from orchestrator.ray_cluster import ray_cluster  # noqa: PLC0415

    with no_process_left(), ray_cluster(plan.cluster, plan.layout, plan.decoders):
        yield


@contextmanager
def gangs_of(plan: LaunchPlan, console: Console) -> Iterator[Pool]:
    """The plan's gangs with the model loaded, for work that renders no batch."""
    view = make_view(plan.cluster.num_gangs, console)
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
