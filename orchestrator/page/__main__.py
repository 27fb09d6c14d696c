"""Build the page of a run again: `python -m orchestrator.page RUN`.

For runs that are older than the page, or whose launch died. Measures the pairs that no launch has measured.
Exit status: 0, or 2 where there is no run, or the page cannot be written.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from orchestrator.artifacts import RunFolder
from orchestrator.errors import BadInput

EXIT_BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the page and print its path; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.page", description="Build the page to look at, index.html, of a run's videos."
    )
    parser.add_argument(
        "run", metavar="RUN", type=Path, help="output folder of a launch, such as outputs/demo-1a2b3c4d"
    )
    options = parser.parse_args(arguments)
    from orchestrator.page.files import PageFiles  # noqa: PLC0415 - --help needs none of it
    from orchestrator.pair import measure_pairs  # noqa: PLC0415

    run_folder = RunFolder(options.run)
    try:
        measure_pairs(run_folder)
        PageFiles(run_folder).write(is_last=True)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_BAD_INPUT
    except OSError as error:
        print(f"error: {run_folder.page} cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201
        return EXIT_BAD_INPUT
    print(run_folder.page)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
