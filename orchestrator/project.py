"""Where the project's own files are: the ones that configurations name by a relative path."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def find_file(path: str) -> Path:
    """`path` from the working directory if it is there, else from the project's folder.

    So `jobs/demo_prompts.txt` and `tiny_wan/weights` are found from wherever a launch is started.
    """
    here = Path(path).expanduser()
    return here if here.exists() or not (PROJECT / path).exists() else PROJECT / path
