"""What a forecast costs on the device: time against a plain copy of the same bytes, and the memory of the history.

A forecast round reads the snapshots of its histories once and writes the forecast once, for both guidance branches
where the hidden state is forecast, once for both where the velocity is. At the shapes of Wan2.1-14B in bfloat16, on
one rank's slice of the tokens. The copy moves as many bytes, on the same machine in the same run: the least that such
a sum can take. On a GPU the sum is one fused kernel; on a CPU it is plain torch, which adds bfloat16 in float32 with
arithmetic that a copy does not have.

The output head, which runs after a forecast of the hidden state, is not counted here; see `wan_rounds`.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console

from benchmarks.arguments import parser, write_json
from benchmarks.wan_measure import Copier, free_memory, time_calls
from benchmarks.wan_shapes import SIZES
from parallel.wan_shapes import PATCH_VALUES, WAN_14B
from spectrum import Features, History

NUM_SNAPSHOTS = (5, 6, 7, 8)
PUBLISHED_SNAPSHOTS = 14
"""Of each branch: the published implementation keeps all full rounds, 14 of 50 with the paper's settings."""
GOAL = 1.5
"""Times the copy's time."""
BYTES_PER_VALUE = 2
WIDTHS = {Features.HIDDEN: WAN_14B.width, Features.VELOCITY: PATCH_VALUES}
"""Values of one token."""
HISTORIES = {Features.HIDDEN: 2, Features.VELOCITY: 1}
"""The velocity that is forecast is that of both branches combined."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One kind of forecast round."""

    size: str
    features: Features
    num_tokens: int
    """Of this rank."""
    num_snapshots: int

    @property
    def snapshot_bytes(self) -> int:
        """Of one history."""
        return self.num_tokens * WIDTHS[self.features] * BYTES_PER_VALUE

    @property
    def moved_bytes(self) -> int:
        """Read and written in one round: every snapshot once, the forecast once."""
        return HISTORIES[self.features] * (self.num_snapshots + 1) * self.snapshot_bytes

    @property
    def published_bytes(self) -> int:
        """What the published implementation holds for the same tokens while it fits.

        Both branches' hidden states of 14 full rounds in bfloat16, and for the fit one branch's once more in float32.
        """
        snapshot = self.num_tokens * WIDTHS[Features.HIDDEN]
        return PUBLISHED_SNAPSHOTS * snapshot * (2 * BYTES_PER_VALUE + 4)


def cases(sizes: Sequence[str], ranks: int, most_tokens: int | None) -> Iterator[Case]:
    """Every size and kind of features with every number of snapshots."""
    for size in sizes:
        num_tokens = -(-SIZES[size].num_tokens // ranks)
        for features in Features:
            for num_snapshots in NUM_SNAPSHOTS:
                yield Case(
                    size=size,
                    features=features,
                    num_tokens=num_tokens if most_tokens is None else min(num_tokens, most_tokens),
                    num_snapshots=num_snapshots,
                )


def measure(case: Case, *, device: torch.device, repeats: int) -> dict[str, Any]:
    """The figures of one case: the best of `repeats` forecast rounds and of as many copies."""
    histories = [filled_history(case, device) for _ in range(HISTORIES[case.features])]
    weights_K = torch.linspace(-0.5, 1.5, case.num_snapshots, dtype=torch.float64)

    def forecast_round() -> None:
        for history in histories:
            history.forecast(weights_K)

    history_bytes = sum(history.num_bytes for history in histories)
    copier = Copier(case.moved_bytes, device=device)
    time_calls(forecast_round, device=device, repeats=2)  # compiles, on a GPU
    # By turns, so that a busy machine slows both alike.
    seconds, copy_seconds = (
        min(times)
        for times in zip(
            *(
                (
                    *time_calls(forecast_round, device=device, repeats=1, warmups=0),
                    copier.seconds(case.moved_bytes, repeats=1),
                )
                for _ in range(repeats)
            ),
            strict=True,
        )
    )
    return {
        "size": case.size,
        "features": case.features.value,
        "tokens": case.num_tokens,
        "snapshots": case.num_snapshots,
        "moved_bytes": case.moved_bytes,
        "seconds": seconds,
        "copy_seconds": copy_seconds,
        "over_copy": seconds / copy_seconds,
        "history_bytes": history_bytes,
        "published_bytes": case.published_bytes,
    }


def filled_history(case: Case, device: torch.device) -> History:
    """A history with all its snapshots, of random numbers."""
    history = History(case.num_snapshots)
    generator = torch.Generator(device).manual_seed(0)
    shape = (1, case.num_tokens, WIDTHS[case.features])
    for step in range(case.num_snapshots):
        history.append(step, torch.randn(shape, device=device, dtype=torch.bfloat16, generator=generator))
    return history


def print_table(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """The figures as Markdown."""
    headings = (
        "video",
        "features",
        "tokens",
        "snapshots",
        "MB moved",
        "ms / round",
        "ms of a copy",
        "ratio",
        "history, MB",
        "published, MB",
    )
    console.print("| " + " | ".join(headings) + " |", soft_wrap=True)
    console.print("|---|---" + "|--:" * (len(headings) - 2) + "|", soft_wrap=True)
    for row in rows:
        cells = [
            row["size"],
            row["features"],
            str(row["tokens"]),
            str(row["snapshots"]),
            f"{row['moved_bytes'] / 1e6:.1f}",
            f"{row['seconds'] * 1e3:.3f}",
            f"{row['copy_seconds'] * 1e3:.3f}",
            f"{row['over_copy']:.2f}",
            f"{row['history_bytes'] / 1e6:.1f}",
            f"{row['published_bytes'] / 1e6:.1f}",
        ]
        console.print("| " + " | ".join(cells) + " |", highlight=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = _options(arguments)
    device = torch.device(options.device)
    console = Console()
    console.print(
        f"Wan2.1-14B, bfloat16, {options.device}, {torch.get_num_threads()} threads; one of {options.ranks} ranks' "
        f"tokens; goal: ratio at most {GOAL}\n",
        soft_wrap=True,
    )
    rows = []
    for case in cases(options.sizes.split(","), options.ranks, 256 if options.quick else None):
        rows.append(measure(case, device=device, repeats=3 if options.quick else options.repeats))
        free_memory(device)
    print_table(console, rows)
    write_json(options.json, {"ranks": options.ranks, "goal": GOAL, "rows": rows})


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    command = parser(__doc__ or "")
    command.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    command.add_argument(
        "--ranks",
        type=int,
        default=8,
        help="ranks that share the tokens, 1 for the whole (default %(default)s)",
    )
    command.add_argument("--sizes", default="480p,720p", help="videos (default %(default)s)")
    command.add_argument("--repeats", type=int, default=20, help="best of so many (default %(default)s)")
    options = command.parse_args(arguments)
    for name in ("ranks", "repeats"):
        if getattr(options, name) < 1:
            command.error(f"--{name}={getattr(options, name)} must be at least 1")
    unknown = sorted(set(options.sizes.split(",")) - set(SIZES))
    if unknown:
        command.error(f"--sizes={options.sizes}: there is no {', '.join(unknown)}; there are {', '.join(SIZES)}")
    return options


if __name__ == "__main__":
    main()
