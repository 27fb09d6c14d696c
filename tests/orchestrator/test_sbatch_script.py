"""A job's file: whatever the values hold, bash and sbatch take each for what it is."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import BadInput
from orchestrator.sbatch_script import JobScript, Verbatim, bash_word, write_script

NASTY = ["it's", '"$(touch x)"', "`id`", "a\nb", "#SBATCH --uid=0", "\n#SBATCH --wrap=x", "\r\n", "$HOME", "!!", "\\"]
NASTY += ["-", "--", "*", "~", "a b", "", "é 🎬", "\x1b[31m", "\u2028", "%j", "\udce9"]
texts = st.one_of(st.sampled_from(NASTY), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))


@given(st.lists(texts, min_size=1, max_size=30))
@settings(max_examples=60)
def test_bash_reads_each_word_as_it_was(words):
    script = "printf '%s\\0' " + " ".join(map(bash_word, words))
    assert script.isprintable()
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert done.stdout.split(b"\0")[:-1] == [word.encode("utf-8", "surrogateescape") for word in words]


def test_zero_byte_is_refused():
    with pytest.raises(BadInput, match="zero byte"):
        bash_word("a\0b")


def script_of(**changed) -> str:
    values = {"title": "t", "options": {"nodes": "1"}, "folder": "/", "command": ["true"]} | changed
    return write_script(JobScript(**values))


@given(
    st.lists(texts, min_size=1, max_size=8), st.dictionaries(st.from_regex(r"V_[A-Z]{1,6}", fullmatch=True), texts)
)
@settings(max_examples=40)
def test_whole_script_gives_the_command_its_words_and_variables(words, environment):
    """The command that the script ends with is one that shows what it was given."""
    show = "import json, os, sys\nshown = [*sys.argv[1:], *(os.environ[name] for name in NAMES)]\n"
    show += "print(json.dumps([os.fsencode(one).hex() for one in shown]))"
    show = show.replace("NAMES", repr(sorted(environment)))
    script = script_of(title=words[0], command=["python3", "-c", show, *words], environment=environment)
    assert all(line.isprintable() for line in script.split("\n"))
    run = subprocess.run(["bash"], input=script.encode(), capture_output=True, check=True)
    expected = [*words, *(environment[name] for name in sorted(environment))]
    assert json.loads(run.stdout) == [one.encode("utf-8", "surrogateescape").hex() for one in expected]


def sbatch_reads(line: str) -> list[str]:
    """The words of an #SBATCH line by the rules in sbatch's source (`_get_argument` of src/sbatch/opt.c)."""
    words, word, quote, escaped = [], None, "", False
    for sign in line:
        if escaped:
            word, escaped = (word or "") + sign, False
        elif sign == "\\":
            escaped = True
        elif quote and sign == quote:
            quote = ""
        elif not quote and sign in "\"'":
            quote, word = sign, word or ""
        elif not quote and sign == "#":
            break
        elif not quote and sign.isspace():
            words, word = ([*words, word], None) if word is not None else (words, None)
        else:
            word = (word or "") + sign
    assert not quote
    return [*words, word] if word is not None else words


@given(st.text(min_size=1).filter(str.isprintable))
def test_sbatch_reads_each_option_as_it_was(value):
    [line] = [line for line in script_of(options={"account": value}).split("\n") if line.startswith("#SBATCH ")]
    assert sbatch_reads(line.removeprefix("#SBATCH ")) == [f"--account={value}"]


@pytest.mark.parametrize("value", ["a\nb", "a\r", "\x00", "\x1b"])
def test_option_that_sbatch_cannot_read_is_refused(value):
    with pytest.raises(BadInput, match="cannot be printed"):
        script_of(options={"account": value})


def test_options_stand_before_the_first_command_and_nothing_after_it_is_one():
    script = script_of(command=["echo", "\n#SBATCH --uid=0"], modules=["cuda/12"], flags=["--mail-type=END"])
    lines = script.splitlines()
    first = next(at for at, line in enumerate(lines) if line and not line.startswith("#"))
    assert all(line.startswith(("#!", "# ", "#SBATCH")) or not line for line in lines[:first])
    assert not any("#SBATCH" in line and line.startswith("#") for line in lines[first:])


@pytest.mark.parametrize("flag", ["nodes=3", "-N3", "--", "--a b", "--x;y=1"])
def test_flag_that_is_none_is_refused(flag):
    with pytest.raises(BadInput, match=r"slurm\.flags"):
        script_of(flags=[flag])


def test_variable_whose_name_is_none_is_refused():
    with pytest.raises(BadInput, match="no name of a variable"):
        script_of(environment={"A;id": "1"})


def test_verbatim_words_are_for_bash():
    assert script_of(command=["echo", Verbatim('"x=$HOME"')]).endswith('exec echo \\\n  "x=$HOME"\n')


def test_script_stops_where_its_folder_is_not():
    done = subprocess.run(["bash"], input=script_of(folder="/no where"), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no where" in done.stderr


def test_modules_are_loaded_in_a_login_shell_which_knows_them():
    assert script_of(modules=["a b"]).startswith("#!/bin/bash -l\n")
    assert "module load 'a b'" in script_of(modules=["a b"])
    assert script_of().startswith("#!/bin/bash\n")
    assert Path("/bin/bash").exists()
