"""Run a checked plan: bring up the gangs, render the batch, and take everything down again."""

import logging
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from orchestrator.batch import shard_named
from orchestrator.choices import ClusterKind, Device
from orchestrator.devices import hide_gpus
from orchestrator.errors import GangFailed, RayLost
from orchestrator.launch_plan import LaunchPlan
from orchestrator.launch_record import LaunchRecord, publish_entries
from orchestrator.lease import lease
from orchestrator.orphans import orphans_ended
from orchestrator.page.live import PageView, finish_page
from orchestrator.pair import publish_pairs
from orchestrator.policy import Outcome, Policy, Stop
from orchestrator.pool import Pool, decoder_names
from orchestrator.process_tree import no_process_left
from orchestrator.progress import make_view
from orchestrator.ray_environment import prepare_environment
from orchestrator.scheduler import run_batch
from orchestrator.sidecar import Provenance, command_line, git_revision
from orchestrator.standing import SET_ASIDE_BEFORE, Standing, done_ids, standings
from orchestrator.termination import Terminated, none_swallowed, stopping_gently
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
    left = _Left.of(plan)
    # Ranks of torchrun might not see the same: they go on, and take rank 0's word.
    if not left.to_render and not (plan.cluster.kind is ClusterKind.NONE and plan.layout.world_size > 1):
        with _leased(plan):
            _clear(plan)
            _publish_entries(plan, provenance)
            finish_page(plan.run_folder)
        return Outcome(failed=left.set_aside)
    launch = _FirstRank(plan, provenance, console) if is_first_rank else _Launch(plan, provenance, Silent())
    with closing(launch):
        outcome = launch.render()
    if outcome.is_stopped and launch.stop.reason != signal.SIGINT.name:
        raise Terminated
    if outcome.is_stopped:
        raise KeyboardInterrupt
    if is_first_rank and (plan.references.pairs or plan.references.entries):
        finish_page(plan.run_folder)
    return outcome


class _Launch:
    """What one process does of a launch: a further rank of torchrun, which shows and writes nothing of its own."""

    def __init__(self, plan: LaunchPlan, provenance: Provenance, view: View) -> None:
        """Begins nothing yet; `view` is told of everything that happens."""
        self.plan = plan
        self.provenance = provenance
        self.view = view
        self.stop = Stop()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Once the cluster is there, and not sooner: one that refuses the launch leaves no trace of it."""
        yield

    def close(self) -> None:
        """Nothing is shown any more."""
        self.view.close()

    def render(self) -> Outcome:
        """Render on Ray or without; on a Ray that is started again where it was lost."""
        plan, policy, failures = self.plan, self.plan.policy, 0
        _prepare(plan)
        while True:
            num_done = _num_done(plan)
            try:
                return self._render_once(policy)
            except RayLost as loss:
                if self.stop.is_requested:  # by a signal that Ray's processes were given as well
                    return Outcome(is_stopped=True)
                failures = failures + 1 if _num_done(plan) == num_done else 1
                if failures >= MOST_LOSSES:
                    raise GangFailed(f"{loss}, {failures} times in a row without a video done in between") from loss
                log.warning("%s, and all gangs with it; Ray is started again", loss)
                policy = replace(policy, retry_failed=False)  # what has failed since then is known

    def _render_once(self, policy: Policy) -> Outcome:
        plan = self.plan
        with ExitStack() as entered:
            with none_swallowed():
                entered.enter_context(_cluster(plan, self.view))
                entered.enter_context(self.opened())
                own_pool = entered.enter_context(_pool(plan, self.view))
                pool, view = entered.enter_context(_metered(plan, own_pool, self.view))
            entered.enter_context(stopping_gently(self.stop))
            outcome = run_batch(
                pool,
                {video_id: entry.request for video_id, entry in plan.renders.items()},
                plan.run_folder,
                self.provenance,
                view,
                policy=policy,
                stop=self.stop,
                priorities={video_id: entry.priority for video_id, entry in plan.renders.items()},
            )
        return outcome


class _FirstRank(_Launch):
    """The process that shows what happens, holds the lease, and keeps the run folder's files."""

    def __init__(self, plan: LaunchPlan, provenance: Provenance, console: Console) -> None:
        """Shows progress on `console`."""
        self._record, self._page = LaunchRecord(plan.run_folder, str(plan.shard)), PageView(plan.run_folder)
        shown = make_view(plan.cluster.num_gangs, console, decoders=decoder_names(plan.decoders.count))
        super().__init__(plan, provenance, Views(self._page, shown, self._record))
        self._leased, self._has_lease = ExitStack(), False

    @contextmanager
    def opened(self) -> Iterator[None]:
        """With the lease; the files are begun."""
        if not self._has_lease:
            self._leased.enter_context(_leased(self.plan))
            self._has_lease = True
        _clear(self.plan)
        _publish_entries(self.plan, self.provenance)
        self._record.open()
        self._page.open()
        yield

    def close(self) -> None:
        """Give the lease back, once nothing writes to the run folder any more."""
        with self._leased:
            super().close()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Left:
    """What earlier launches have left to do."""

    to_render: int
    set_aside: dict[str, str]
    """Why, by id of the videos that are not tried again."""

    @classmethod
    def of(cls, plan: LaunchPlan) -> "_Left":
        found = standings(plan.run_folder, plan.renders)
        is_final = {Standing.DONE} | (set() if plan.policy.retry_failed else {Standing.SET_ASIDE})
        set_aside = [video_id for video_id, one in found.items() if one is Standing.SET_ASIDE]
        return cls(
            to_render=sum(one not in is_final for one in found.values()),
            set_aside=dict.fromkeys(set_aside, SET_ASIDE_BEFORE),
        )


@contextmanager
def _leased(plan: LaunchPlan) -> Iterator[None]:
    """While no other launch renders the same videos."""
    own = plan.run_folder.launch_lease(str(plan.shard))
    with lease(own, what=f"output={plan.run_folder.root}", rivals=partial(_rivals, plan)):
        yield


def _num_done(plan: LaunchPlan) -> int:
    return len(done_ids(plan.run_folder, plan.renders))


def _rivals(plan: LaunchPlan) -> list[Path]:
    """Leases of other shards that some video of this one may be in."""
    shards = {name: shard_named(name) for name in plan.run_folder.leased_shards() if name != str(plan.shard)}
    return [plan.run_folder.launch_lease(name) for name, shard in shards.items() if shard.overlaps(plan.shard)]


def _clear(plan: LaunchPlan) -> None:
    """Remove what killed launches have left."""
    for video_id in (plan.run_folder.video_ids() & plan.entries.keys()) | plan.references.entries.keys():
        plan.run_folder.video(video_id).clear()


def _publish_entries(plan: LaunchPlan, provenance: Provenance) -> None:
    publish_entries(plan.run_folder, str(plan.shard), plan.renders.values(), provenance)
    publish_pairs(plan.run_folder, plan.references.pairs)


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

    is_own = plan.cluster.kind is ClusterKind.LOCAL
    with (
        no_process_left(),
        orphans_ended() if is_own else nullcontext(),
        ray_cluster(plan.cluster, plan.layout, plan.decoders),
    ):
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
        if plan.cluster.device is Device.CPU:
            hide_gpus()
        from orchestrator.local_pool import LocalPool  # noqa: PLC0415 - this path needs no Ray

        with closing(LocalPool(plan)) as pool:
            yield pool
        return
    view.starting(f"starting {plan.cluster.num_gangs * plan.layout.world_size} ranks and loading {plan.model.name}")
    from orchestrator.ray_pool import RayPool  # noqa: PLC0415

    with closing(RayPool(plan)) as pool:
        yield pool
