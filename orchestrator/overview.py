"""What a launch is about to do, in a few lines."""

from rich.console import Console
from rich.markup import escape

from orchestrator.launch_plan import LaunchPlan
from parallel.layout import explain


def print_overview(console: Console, plan: LaunchPlan) -> None:
    """Print the batch, the model, the plan of rounds, the gangs and the output folder."""
    request = next(iter(plan.requests.values()))
    rounds = request.forecast.plan(request.num_steps)
    done = sum(plan.run_folder.video(video_id).is_done for video_id in plan.requests)
    gangs = f"{plan.cluster.num_gangs} gang{'s' if plan.cluster.num_gangs > 1 else ''}"
    lines = {
        "batch": f"{len(plan.requests)} videos, {done} of them done",
        "video": f"{request.width}×{request.height}, {request.num_frames} frames at {request.fps}/s",
        "model": f"{plan.model.name} ({plan.model.dtype.value}) from {plan.model.folder}",
        "rounds": f"{rounds.num_full} full of {len(rounds)} ({request.forecast.method.value}): "
        f"{' '.join(map(str, rounds.full_steps))}",
        "gangs": f"{gangs} of {plan.layout.world_size} ranks ({plan.layout}) on {plan.cluster.device.value}, "
        f"cluster {plan.cluster.kind.value}",
        "layout": f"{plan.layout}: {explain(plan.layout, plan.problem)}",
        "output": str(plan.run_folder.root),
    }
    for name, text in lines.items():
        console.print(f"[bold]{name:<7}[/bold] {escape(text)}", highlight=False, soft_wrap=True, emoji=False)
