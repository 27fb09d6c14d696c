"""The text of a job's sbatch file, with everything that was typed quoted so that neither sbatch nor bash reads it.

A value stands either in an #SBATCH line, which sbatch takes apart by rules of its own, or in a bash command.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.errors import BadInput

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WRAP = " \\\n  "
"""What parts the arguments of a command, one a line."""


@dataclass(frozen=True, slots=True)
class Verbatim:
    """A word of a command that bash is to expand; never anything that was typed."""

    text: str


Word = str | Verbatim


@dataclass(frozen=True, kw_only=True, slots=True)
class JobScript:
    """What an sbatch file holds."""

    title: str
    """A line for people."""
    options: Mapping[str, str | None]
    """Of sbatch, without dashes; None for those that take no value."""
    flags: Sequence[str] = ()
    """More of them, as typed: --name or --name=value."""
    folder: str
    """The folder that commands are started in."""
    modules: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[Word] = ()
    """What replaces the batch shell, so that SLURM's signals reach it."""


def write_script(script: JobScript) -> str:
    """The file's text: printable lines, whatever the values hold.

    Raises:
        BadInput: an option holds what an #SBATCH line cannot, or a variable's name is none.
    """
    # A login shell alone knows `module` everywhere.
    lines = ["#!/bin/bash -l" if script.modules else "#!/bin/bash", f"# {_comment(script.title)}"]
    lines += [f"#SBATCH {_option(name, value)}" for name, value in script.options.items()]
    lines += [f"#SBATCH {_flag(flag)}" for flag in script.flags]
    lines += ["", *(f"module load {bash_word(module)}" for module in script.modules)]
    for name, value in script.environment.items():
        if not _VARIABLE.fullmatch(name):
            raise BadInput(f"slurm.environment has {name!r}, which is no name of a variable")
        lines.append(f"export {name}={bash_word(value)}")
    lines.append(f"cd -- {bash_word(script.folder)} || exit 1")
    words = [word.text if isinstance(word, Verbatim) else bash_word(word) for word in script.command]
    lines.append(f"exec {_WRAP.join(words)}")
    return "\n".join(lines) + "\n"


def bash_word(text: str) -> str:
    """One word of a bash command that stands for exactly this text, on one line, without control characters.

    Raises:
        BadInput: the text holds a zero byte, which no command can be given.
    """
    if "\0" in text:
        raise BadInput(f"{text!r} holds a zero byte")
    if text.isprintable():
        return shlex.quote(text)
    signs = text.encode("utf-8", "surrogateescape")
    plain = set(b' !#$%&()*+,-./:;<=>?@[]^_`{|}~"') | set(map(ord, "0123456789"))
    plain |= set(range(ord("a"), ord("z") + 1)) | set(range(ord("A"), ord("Z") + 1))
    return "$'" + "".join(chr(sign) if sign in plain else f"\\{sign:03o}" for sign in signs) + "'"


def _option(name: str, value: str | None) -> str:
    return f"--{name}" if value is None else f"--{name}={_sbatch_word(value, f'sbatch option --{name}')}"


def _flag(flag: str) -> str:
    name, equals, value = flag.partition("=")
    if not re.fullmatch(r"--[a-z][a-z-]*", name):
        raise BadInput(f"slurm.flags holds {flag!r}: each must be --name or --name=value")
    return f"{name}={_sbatch_word(value, f'slurm.flags: {name}')}" if equals else name


def _sbatch_word(value: str, field_name: str) -> str:
    """A value of an #SBATCH line: sbatch knows quotes, backslashes and comments, and no escape for control signs."""
    if not value.isprintable():
        raise BadInput(f"{field_name}: {value!r} holds a sign that cannot be printed, which sbatch cannot read")
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./-]+", value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _comment(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)
