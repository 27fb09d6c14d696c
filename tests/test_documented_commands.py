"""Every command and block of code in the README and the pages: run here, or composed where it needs what is not."""

import ast
import json
import os
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import yaml
from documented import (
    FRAGMENT,
    LANGUAGES,
    PAGES,
    PROJECT,
    Block,
    Kind,
    Shown,
    UnknownCommand,
    all_blocks,
    blocks,
    classified,
    commands,
    inline_commands,
)
from model_folders import HEADS, make_wan_folder

from orchestrator.config import LaunchConfig, ModelConfig
from orchestrator.estimate_config import EstimateConfig

BLOCKS = all_blocks()
SHOWN = [shown for block in BLOCKS if block.language == "bash" for shown in commands(block)]
IN_PROCESS = [shown for shown in SHOWN if shown.kind in (Kind.COMPOSED, Kind.RUN, Kind.HELP)]
CODE = [block for block in BLOCKS if block.language == "python"]
RUN_CODE = [block for block in CODE if not block.text.startswith(FRAGMENT)]
INLINE = [
    shown for page in PAGES for shown in inline_commands((PROJECT / page).read_text(encoding="utf-8"), page)
]  # fmt: skip
MISSPELT = [
    "python -m orchestrator.launch +job=demo forcast=none",
    "python -m orchestrator.submit +job=demo slurm.node=2",
    "python -m orchestrator.launch +job=wan_t2v parallel.ulysses=7",
    "python -m benchmarks.no_such_program",
]
USERS_OWN = {"my_wan", "my_wan_14", "mine", "NAME", "FILE"}
"""Choices that a reader is told to make."""
SUFFIXES = {"json", "mp4"}
"""Of files that are called like a group of settings."""
OF_A_RUN = ("orchestrator.status", "orchestrator.page")
"""Commands that are given the output folder of a run."""
GROUPS = {one.name: one.type for one in fields(EstimateConfig) if is_dataclass(one.type)}
NO_ANSWER = "could not be joined: nobody answers there"
"""What is said of a Ray cluster that is not there, once all else has been checked."""


def identity(one: Shown | Block) -> str:
    return one.name if isinstance(one, Shown) else one.place


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with what the commands name: prompts, and folders of models without weights."""
    folder = tmp_path_factory.mktemp("documented")
    (folder / "prompts.txt").write_text("".join(f"a small boat, view {index}\n" for index in range(16)))
    for size in HEADS:
        make_wan_folder(folder, size)
    return folder


def stand_ins(shown: Shown, folder: Path) -> list[str]:
    """The command's arguments, with what is on no reader's machine replaced by what is in `folder`."""
    arguments = [stand_in(argument, folder) for argument in shown.arguments]
    if not arguments or shown.kind is Kind.HELP:
        return ["--help"]
    if shown.module in OF_A_RUN:
        return [argument if argument.startswith("-") else str(folder / "run") for argument in arguments]
    if shown.kind is Kind.RUN or "--help" in arguments:
        return arguments
    given = {argument.partition("=")[0] for argument in arguments}
    is_large = "+job=wan_t2v" in arguments
    if is_large and "model.path" not in given:
        arguments.append(f"model.path={folder / ('1.3b' if 'model=wan2.1_t2v_1.3b' in arguments else '14b')}")
    if is_large and shown.module != "orchestrator.submit":
        arguments += ["model.needs_gpu=false", "cluster.device=cpu"]
    if "output" not in given:
        arguments.append(f"output={folder / 'output' / 'unnamed'}")
    if "dry_run" not in given and "--dry-run" not in given:
        arguments.append("dry_run=true")
    return arguments


def stand_in(argument: str, folder: Path) -> str:
    name, _, value = argument.partition("=")
    match name:
        case "model.path":
            return f"model.path={folder / ('1.3b' if '1.3B' in value else '14b')}"
        case "batch" if not (PROJECT / value).is_file():
            return f"batch={folder / 'prompts.txt'}"
        case "output":
            return f"output={folder / 'output' / Path(value).name}"
    return argument


@pytest.fixture(scope="module")
def answers(place, command_environment) -> dict[str, dict]:
    """What became of the commands and the code, by name; all in one process."""
    quick = ["denoise.num_steps=2", "forecast=none", "video.num_frames=5", "cluster=none", "parallel=auto"]
    launch = {
        "module": "orchestrator.launch",
        "arguments": ["+job=demo", "prompt=a large red circle", f"output={place / 'run'}", *quick],
        "environment": {},
    }
    misspelt = [classified(line.split(), "misspelt") for line in MISSPELT]
    tasks = {"a run": launch}
    for shown in [*IN_PROCESS, *INLINE, *misspelt]:
        if shown.module and shown.kind is not Kind.PYTEST:
            arguments = stand_ins(shown, place)
            tasks[identity(shown)] = {
                "module": shown.module,
                "arguments": arguments,
                "environment": shown.environment,
            }
    tasks |= {block.place: {"code": block.text, "place": block.place} for block in RUN_CODE}
    distinct = {json.dumps(task): task for task in tasks.values()}
    done = subprocess.run(
        [sys.executable, PROJECT / "tests" / "helpers" / "run_modules.py"],
        input=json.dumps(list(distinct.values())),
        cwd=PROJECT,  # where a reader stands
        env=command_environment(
            PYTHONPATH=str(PROJECT), HF_HUB_OFFLINE="1", PATH=f"{Path(sys.executable).parent}{os.pathsep}/nowhere"
        ),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    by_task = dict(zip(distinct, json.loads(done.stdout), strict=True))
    return {name: by_task[json.dumps(task)] for name, task in tasks.items()}


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_is(page):
    """A command must not hide in a block that nobody looks at."""
    own = [block for block in BLOCKS if block.place.rpartition(":")[0] == page]
    assert [
        block.place for block in own if not re.fullmatch("|".join(LANGUAGES) + r"|\{[a-z-]+\}.*", block.language)
    ] == []


def test_pages_show_the_commands_that_matter():
    shown = {one.module or one.arguments[0] for one in SHOWN if one.kind is not Kind.ACTIVATE}
    commands_there_are = {
        f"orchestrator.{name}" for name in ("launch", "submit", "calibrate", "estimate", "status", "page")
    }
    assert shown >= {*commands_there_are, "demo", "test", "docs"}


@pytest.mark.parametrize("shown", IN_PROCESS, ids=identity)
def test_command_does_what_it_says_or_would(answers, shown):
    check(answers[identity(shown)], shown)


@pytest.mark.parametrize("shown", [one for one in INLINE if one.kind is not Kind.PYTEST], ids=identity)
def test_command_in_a_sentence_too(answers, shown):
    if shown.module:
        check(answers[identity(shown)], shown)
    else:
        check_make(shown.arguments[0])


def check(answer: dict, shown: Shown) -> None:
    if "cluster=ray" in shown.arguments and shown.module == "orchestrator.launch":
        assert answer["status"] == 2 and NO_ANSWER in answer["stderr"], answer
        return
    assert answer["status"] == 0, answer["stderr"][-2000:]
    if shown.kind is Kind.HELP or not shown.arguments or "--help" in shown.arguments:
        assert len(answer["stdout"].splitlines()) > 3
        options = {word.partition("=")[0] for word in shown.arguments if word.startswith("--")}
        assert options <= {"--help", *re.findall(r"--[a-z0-9-]+", answer["stdout"])}, answer["stdout"]
    elif shown.module == "orchestrator.launch":
        assert "videos" in answer["stderr"], answer["stderr"]
    elif shown.module == "orchestrator.submit":
        assert "#SBATCH" in answer["stdout"] and "not submitted" in answer["stdout"]
    elif shown.kind is Kind.RUN:
        assert answer["stdout"].strip()


@pytest.mark.parametrize("line", MISSPELT)
def test_command_with_a_slip_is_noticed(answers, line):
    assert answers[identity(classified(line.split(), "misspelt"))]["status"] != 0


@pytest.mark.parametrize("shown", [one for one in SHOWN if one.kind is Kind.MAKE], ids=identity)
def test_make_has_the_target(shown):
    check_make(shown.arguments[0])


def check_make(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shown", [one for one in SHOWN if one.kind is Kind.BATCH_FILE], ids=identity)
def test_batch_file_is_there_and_bash_reads_it(shown):
    subprocess.run(["bash", "-n", PROJECT / shown.arguments[0]], check=True)


@pytest.mark.parametrize(
    "shown", [one for one in [*SHOWN, *INLINE] if one.kind is Kind.PYTEST], ids=identity
)  # fmt: skip
def test_pytest_finds_what_it_is_given(shown, request):
    paths = [word for word in shown.arguments if word.startswith("tests")]
    assert paths and all((PROJECT / path).exists() for path in paths)
    if "-m" in shown.arguments:
        marker = shown.arguments[shown.arguments.index("-m") + 1]
        assert any(known.startswith(f"{marker}:") for known in request.config.getini("markers"))


@pytest.mark.parametrize("block", RUN_CODE, ids=identity)
def test_code_runs(answers, block):
    assert answers[block.place]["status"] == 0, answers[block.place]["stderr"]


@pytest.mark.parametrize("block", [block for block in CODE if block not in RUN_CODE], ids=identity)
def test_fragment_names_its_file_and_is_python(block):
    first, _, rest = block.text.partition("\n")
    assert (PROJECT / first.removeprefix(FRAGMENT)).is_file()
    assert ast.parse(rest).body


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "yaml"], ids=identity)
def test_yaml_is_a_manifest_or_a_model(block, launch_plan_of, place):
    value = yaml.safe_load(block.text)
    if "videos" in value:
        manifest = place / "manifest.yaml"
        manifest.write_text(block.text, encoding="utf-8")
        assert len(launch_plan_of(f"batch={manifest}")) == sum(row.get("seeds", 1) for row in value["videos"])
    else:
        assert ModelConfig(**value).name == value["name"]


@pytest.fixture(scope="module")
def launch_plan_of(place):
    """The requests of a batch on the large model."""
    from orchestrator.launch_plan import plan_launch

    def plan(batch: str) -> dict:
        config = LaunchConfig(batch=batch.removeprefix("batch="), output=str(place / "planned"))
        config.job.name, config.model.name, config.model.path = "pages", "wan2.1_t2v_14b", str(place / "14b")
        config.model.needs_gpu, config.cluster.device, config.cluster.kind = False, "cpu", "none"
        return plan_launch(config).requests

    return plan


@pytest.mark.parametrize("page", PAGES)
def test_settings_and_choices_that_are_named_are_there(page):
    text = (PROJECT / page).read_text(encoding="utf-8")
    for inline in re.findall(r"`([^`\n]+)`", text):
        for group, name in re.findall(rf"(?<![\w/.])({'|'.join(GROUPS)})\.([a-z]\w*)", inline):
            is_module = (PROJECT / group / f"{name}.py").is_file()
            assert is_module or name in {one.name for one in fields(GROUPS[group])} | SUFFIXES, inline
        for group, choice in re.findall(r"(?<![\w/.])\+?(\w+)=([A-Za-z][\w.]*)", inline):
            if (PROJECT / "conf" / group).is_dir() and choice not in USERS_OWN:
                assert (PROJECT / "conf" / group / f"{choice}.yaml").is_file(), inline


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    text = (PROJECT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.S)):
        path, _, heading = target.partition("#")
        if not re.match(r"https?:", target):
            file = (PROJECT / page).parent / path if path else PROJECT / page
            assert file.exists(), target
            assert not heading or heading in headings(file), target


def headings(file: Path) -> set[str]:
    """As GitHub names them."""
    lines = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize(
    "line", ["rm -rf outputs", "python -m orchestrator.nothing", "make a b", "make demo | tee log", "frob"]
)
def test_command_of_an_unknown_kind_is_refused(line):
    with pytest.raises(UnknownCommand):
        list(commands(Block(place="page:1", language="bash", text=f"{line}\n")))


def test_blocks_are_found_wherever_they_stand():
    text = "a\n```bash\nmake demo  # why\n```\n1. b\n\n   ```\n   hidden\n   ```\n"
    first, second = blocks(text, "page")
    assert (first.place, first.language, second.language, second.text) == ("page:2", "bash", "", "hidden\n")
    assert [shown.arguments for shown in commands(first)] == [("demo",)]
