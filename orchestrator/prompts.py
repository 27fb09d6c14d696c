"""Read the prompts of a batch."""

from pathlib import Path

from orchestrator.errors import BadInput
from orchestrator.project import find_file


def read_prompts(*, prompt: str | None, batch: str | None, job_batch: str | None = None) -> list[str]:
    """The prompts that were asked for, in order, each once.

    Args:
        prompt: one prompt, or None.
        batch: a .txt file with one prompt a line in UTF-8, or None. Blank lines are skipped.
        job_batch: such a file for when both are None, also looked for from the project's folder.

    Raises:
        BadInput: there is none, both are given, or the file cannot be read.
    """
    if prompt is not None and batch is not None:
        raise BadInput(f"prompt={prompt!r} and batch={batch} are both set: give one of them")
    if prompt is not None:
        if not prompt.strip():
            raise BadInput(f"prompt={prompt!r} is empty: say what the video should show")
        return [prompt]
    if batch is None and job_batch is not None:
        return _read_text(find_file(job_batch))
    if batch is None:
        raise BadInput('no prompts: give prompt="…" or batch=FILE, a .txt with one prompt a line')
    return _read_text(Path(batch))


def _read_text(path: Path) -> list[str]:
    if path.suffix != ".txt":
        raise BadInput(f"batch={path} has the suffix {path.suffix!r}: a .txt with one prompt a line is what is read")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"batch={path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise BadInput(f"batch={path} cannot be read: {error.strerror}") from error
    # Only real line ends part prompts; str.splitlines would also cut at the separators that Unicode knows.
    lines = (line.strip() for line in text.replace("\r\n", "\n").split("\n"))
    prompts = list(dict.fromkeys(line for line in lines if line))
    if not prompts:
        raise BadInput(f"batch={path} holds no prompts: put one on each line")
    return prompts
