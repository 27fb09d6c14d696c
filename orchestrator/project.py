"""Where the project's own files are: the ones that configurations name by a relative path."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def find_file(path: str) -> Path:
    """`path` from the working directory if it is there, else from the project's folder.

    So `jobs/demo_prompts.txt` and `tiny_wan/weights` are found from wherever a launch is started. A path that no
    system can have (an unknown user's home, a name that is too long) is given back as it is, and not found.
    """
    for candidate in (home_expanded(path), PROJECT / path):
        try:
            if candidate.exists():
                return candidate
        except OSError:
            continue
    return home_expanded(path)


def home_expanded(path: str) -> Path:
    """`path` with a leading ~ replaced by the home folder, where there is such a user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
