"""What the documentation shows: its blocks, the commands in them, told apart by what can be done with them here."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
FILES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "jobs/README.md",
    "benchmarks/README.md",
    "tiny_wan/README.md",
)
PAGES = (*FILES, *(str(page.relative_to(PROJECT)) for page in sorted((PROJECT / "docs").glob("*.md"))))

LANGUAGES = ("bash", "python", "yaml", "text")
"""Of blocks. Commands are bash, what they print and trees of files are text; `{…}` is a directive of Sphinx."""
FRAGMENT = "# fragment of "
"""How a block of Python begins that stands within a file of the project: it is parsed, not run."""
CONTROL = {"&&", "||", "|", ";", "&", ">", ">>", "<"}


class Kind(StrEnum):
    """What can be done with a command here."""

    COMPOSED = "composed"  # the configuration is composed and checked; nothing is started
    RUN = "run"  # run as it is, or on a run folder that is there
    HELP = "help"  # takes minutes: only its options are looked up
    PYTEST = "pytest"  # the files and the marker that it names are there
    MAKE = "make"  # the target is there
    ACTIVATE = "activate"  # what `make install` makes
    BATCH_FILE = "batch file"  # the file is there and bash can read it


MODULES = {
    "orchestrator.launch": Kind.COMPOSED,
    "orchestrator.calibrate": Kind.COMPOSED,
    "orchestrator.submit": Kind.COMPOSED,
    "orchestrator.estimate": Kind.RUN,
    "orchestrator.status": Kind.RUN,
    "orchestrator.page": Kind.RUN,
    "pytest": Kind.PYTEST,
}
HELP_PACKAGES = ("benchmarks", "tiny_wan")


class UnknownCommand(ValueError):
    """A command of a kind that nobody has said how to check."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block."""

    place: str
    """File and line."""
    language: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A command."""

    place: str
    words: tuple[str, ...]
    kind: Kind
    module: str = ""
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For a test's id."""
        return f"{self.place} {shlex.join(self.words)[:70]}"


def blocks(text: str, file: str) -> list[Block]:
    """All fenced blocks, indented ones too."""
    found: list[Block] = []
    fence, language, begin, inner = "", "", 0, []
    for number, line in enumerate(text.splitlines(), start=1):
        mark = re.match(r"\s*(`{3,}|:{3,})(.*)", line)
        if not fence and mark:
            fence, language, begin, inner = mark[1], mark[2].strip(), number, []
            indent = len(line) - len(line.lstrip())
        elif fence and line.strip() == fence:
            found.append(Block(place=f"{file}:{begin}", language=language, text="\n".join(inner) + "\n"))
            fence = ""
        elif fence:
            inner.append(line[indent:])
    assert not fence, f"{file}:{begin}: the block is not closed"
    return found


def all_blocks() -> list[Block]:
    """Of all pages."""
    return [block for page in PAGES for block in blocks((PROJECT / page).read_text(encoding="utf-8"), page)]


def commands(block: Block) -> Iterator[Shown]:
    """The commands of a block of bash.

    Raises:
        UnknownCommand: one is of no known kind.
    """
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield classified(words, block.place)


def inline_commands(text: str, place: str) -> Iterator[Shown]:
    """Commands that stand in a sentence; those with a NAME to fill in are left out."""
    for shown in re.findall(
        r"`((?:\.venv/bin/)?(?:python -m |make |torchrun )[^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S)
    ):
        if not re.search(r"[A-Z]{3,}|…", shown):
            yield classified(shlex.split(shown), place)


def classified(words: list[str], place: str) -> Shown:
    """What the command is.

    Raises:
        UnknownCommand: nobody has said how to check it.
    """
    environment = {}
    rest = list(words)
    while rest and re.fullmatch(r"[A-Z_]+=.*", rest[0]):
        name, _, environment[name] = rest.pop(0).partition("=")
    unknown = UnknownCommand(
        f"{place}: {shlex.join(words)}: tests/helpers/documented.py does not know how to check it"
    )
    if CONTROL & set(rest):
        raise unknown
    common = {"place": place, "words": tuple(words), "environment": environment}
    match rest:
        case ["python" | "python3" | ".venv/bin/python", "-m", module, *arguments]:
            kind = Kind.HELP if module.split(".")[0] in HELP_PACKAGES else MODULES.get(module)
            if kind is not None:
                return Shown(**common, kind=kind, module=module, arguments=tuple(arguments))
        case ["torchrun", ranks, "-m", module, *arguments] if ranks.startswith("--nproc-per-node="):
            environment |= {"RANK": "0", "WORLD_SIZE": ranks.partition("=")[2]}
            if MODULES.get(module) is Kind.COMPOSED:
                return Shown(**common, kind=Kind.COMPOSED, module=module, arguments=tuple(arguments))
        case ["make", target]:
            return Shown(**common, kind=Kind.MAKE, arguments=(target,))
        case ["source", ".venv/bin/activate"]:
            return Shown(**common, kind=Kind.ACTIVATE)
        case ["sbatch", file]:
            return Shown(**common, kind=Kind.BATCH_FILE, arguments=(file,))
    raise unknown
