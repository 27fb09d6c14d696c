"""What a launch is about to do, in a few lines."""

from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from orchestrator.earlier_runs import find_earlier
from orchestrator.gang_choice import describe_gangs
from orchestrator.launch_plan import LaunchPlan
from orchestrator.request import Request
from orchestrator.role import Role
from orchestrator.standing import done_ids
from orchestrator.terminal import printable
from parallel.layout import explain

_MOST_KINDS_SHOWN = 4


def print_overview(console: Console, plan: LaunchPlan) -> None:
    """Print the batch, the model, the plan of rounds, the gangs and the output folder."""
    requests = [entry.request for entry in plan.entries.values()]
    done = len(done_ids(plan.run_folder, plan.entries))
    part = "" if plan.shard.count == 1 else f" (shard {plan.shard.index} of {plan.shard.count})"
    because = f", {plan.gangs_because}" if plan.gangs_because else ""
    largest = max(plan.problems, key=lambda problem: problem.num_tokens)
    lines = {
        "batch": f"{len(requests)} videos{part}, {done} of them done",
        "video": _kinds(f"{one.width}×{one.height}, {one.num_frames} frames at {one.fps}/s" for one in requests),
        "model": f"{plan.model.name} ({plan.model.dtype.value}) from {plan.model.folder}",
        "rounds": _kinds(map(_rounds, _one_of_each_plan(requests))),
        "gangs": f"{describe_gangs(plan.cluster.num_gangs, plan.layout)} on {plan.cluster.device.value}, "
        f"cluster {plan.cluster.kind.value}{because}",
        "layout": f"{plan.layout}: {explain(plan.layout, largest)}",
    }
    if plan.references.pairs:
        lines["quality"] = _references(plan)
    if (earlier := find_earlier(plan.run_folder, plan.entries)) is not None:
        path, number = earlier
        lines["earlier"] = f"{number} of these are done in {path}: output={path} renders only what is missing there"
    lines["output"] = str(plan.run_folder.root)
    for name, line in lines.items():
        text = escape(printable(line))
        console.print(f"[bold]{name:<7}[/bold] {text}", highlight=False, soft_wrap=True, emoji=False)


def _references(plan: LaunchPlan) -> str:
    roles = Counter(entry.role for entry in plan.references.entries.values())
    floors = f", {roles[Role.NOISE_FLOOR]} from rounded noise as well" if roles[Role.NOISE_FLOOR] else ""
    full = f"{len(plan.references.pairs)} videos beside all rounds full"
    return f"{full}: {roles[Role.REFERENCE]} more renders{floors}, compared in {plan.run_folder.page.name}"


def _one_of_each_plan(requests: Iterable[Request]) -> Iterable[Request]:
    return {(one.forecast, one.num_steps): one for one in requests}.values()


def _rounds(request: Request) -> str:
    forecast = request.forecast
    plan = forecast.plan(request.num_steps)
    if forecast.is_adaptive:
        budget = f"by an error budget of {forecast.error_budget:g} as each video goes"
        return f"about {plan.num_full} full of {len(plan)} ({forecast.method.value}), chosen {budget}"
    full_steps = " ".join(map(str, plan.full_steps))
    return f"{plan.num_full} full of {len(plan)} ({forecast.method.value}): {full_steps}"


def _kinds(descriptions: Iterable[str]) -> str:
    """Each once, as far as there is room."""
    kinds = list(dict.fromkeys(descriptions))
    more = len(kinds) - _MOST_KINDS_SHOWN
    return "; ".join(kinds[:_MOST_KINDS_SHOWN]) + (f"; and {more} more" if more > 0 else "") or "none"
