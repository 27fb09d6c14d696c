"""The figures of many faults as tables."""

from collections import defaultdict
from statistics import median

from rich.console import Console

from benchmarks.fault import Fault
from benchmarks.fault_campaign import Campaign
from benchmarks.fault_position import STAGES


def print_report(console: Console, campaign: Campaign, *, seconds: float) -> None:
    """How many faults of which kind, what they hit, and what they cost."""
    kinds: dict[str, list[Fault]] = defaultdict(list)
    for fault in campaign.faults:
        kinds[_kind(fault)].append(fault)
    lines = [
        "",
        "| fault | times | seconds until work went on: median | worst | work lost, seconds: median | worst |",
        "|---|--:|--:|--:|--:|--:|",
        *(_row(kind, kinds[kind]) for kind in sorted(kinds)),
        _row("all", campaign.faults),
        "",
        "| stage hit | ranks and decode workers | others |",
        "|---|--:|--:|",
        *(_stage_row(stage, campaign.faults) for stage in (*STAGES, *_other_stages(campaign.faults))),
        "",
        f"{len(campaign.faults)} faults in {campaign.num_launches} launches, {seconds / 60:.0f} minutes; "
        f"{max(campaign.seconds_to_die, default=0.0):.1f} s at most until a launch's last process was gone",
    ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _kind(fault: Fault) -> str:
    done = "killed" if fault.signal == "SIGKILL" else "frozen"
    match fault.target:
        case "driver":
            return "driver frozen, and let go on" if fault.is_harmless else "driver killed, launched again"
        case "raylet" | "gcs_server":
            return f"Ray's node process or register {done}"
        case "rank" if fault.stage == "starting":
            return f"rank {done} while it loads the model"
        case _:
            return f"{fault.target} {done}"


def _row(name: str, faults: list[Fault]) -> str:
    resumed = [fault.seconds_to_resume for fault in faults if fault.seconds_to_resume is not None] or [0.0]
    lost = [fault.seconds_lost for fault in faults] or [0.0]
    figures = (median(resumed), max(resumed), median(lost), max(lost))
    return f"| {name} | {len(faults)} | " + " | ".join(f"{figure:.1f}" for figure in figures) + " |"


def _stage_row(stage: str, faults: list[Fault]) -> str:
    hit = [fault for fault in faults if fault.stage == stage]
    own = sum(fault.target in ("rank", "decode worker") for fault in hit)
    return f"| {stage} | {own} | {len(hit) - own} |"


def _other_stages(faults: list[Fault]) -> list[str]:
    return sorted({fault.stage for fault in faults} - {*STAGES})
