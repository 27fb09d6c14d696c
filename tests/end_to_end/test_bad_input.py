"""Input that cannot be used: exit status 2 and one line, at once, before any model library or process."""

import json
import shutil

import pytest

from orchestrator.devices import count_gpus

NO_GPU = count_gpus() == 0

# By name: what is typed, and what the line must name: the field with its value, and what would be allowed.
CASES: dict[str, tuple[list[str], list[str]]] = {
    "no job": ([], ["no job", "+job=demo", "+job=wan_t2v"]),
    "no prompts": (["+job=demo", "job.batch=null"], ["no prompts", "prompt=", "batch="]),
    "empty prompt": (["+job=demo", "prompt= "], ["prompt=' '", "empty"]),
    "prompt and batch": (["+job=demo", "prompt=a cat", "batch=cats.txt"], ["prompt='a cat'", "batch=cats.txt"]),
    "missing file": (["+job=demo", "batch=none.txt"], ["batch=none.txt", "No such file"]),
    "a folder": (["+job=demo", "batch={folder}/folder.txt"], ["batch={folder}/folder.txt", "directory"]),
    "not UTF-8": (["+job=demo", "batch={folder}/latin1.txt"], ["{folder}/latin1.txt line 1", "UTF-8"]),
    "empty file": (["+job=demo", "batch={folder}/empty.txt"], ["batch={folder}/empty.txt", "no prompts"]),
    "wrong suffix": (["+job=demo", "batch={folder}/prompts.doc"], ["batch={folder}/prompts.doc", ".txt, .csv"]),
    "a row": (
        ["+job=demo", "batch={folder}/rows.jsonl"],
        ["{folder}/rows.jsonl line 2: num_frames=80 must be 4k + 1"],
    ),
    "shard": (["+job=demo", "job.shard=17/16"], ["job.shard=17/16", "1 <= i <= n"]),
    "height": (["+job=demo", "video.height=100"], ["video.height=100", "multiple of 16", "96 or 112"]),
    "width": (["+job=demo", "video.width=-16"], ["video.width=-16", "multiple of 16"]),
    "too large": (["+job=demo", "video=720p"], ["video.height=720 × video.width=1280", "36864 pixels"]),
    "frames": (["+job=demo", "video.num_frames=18"], ["video.num_frames=18", "4k + 1", "nearest: 17"]),
    "too many frames": (["+job=demo", "video.num_frames=81"], ["video.num_frames=81", "at most 33"]),
    "heads": (["+job=demo", "parallel.ulysses=3"], ["parallel.ulysses=3", "8 attention heads", "ring 3"]),
    "tokens": (
        ["+job=demo", "parallel.ring=2", "parallel.ulysses=4"],
        ["parallel.ring=2 parallel.ulysses=4", "180 tokens", "cfg 2 × ulysses 4"],
    ),
    "steps": (["+job=demo", "denoise.num_steps=0"], ["denoise.num_steps=0", "1..1000"]),
    "guidance": (["+job=demo", "denoise.guidance_scale=-1"], ["denoise.guidance_scale=-1.0", "0..100"]),
    "seed": (["+job=demo", "seed=-1"], ["seed=-1", "0..2^63 - 1"]),
    "method": (
        ["+job=demo", "forecast.method=magic"],
        ["forecast.method=magic", "spectrum, reuse, damped, taylor, adams, foca, svd, calibrated, none"],
    ),
    "forecast": (["+job=demo", "forecast.blend=2"], ["forecast.blend=2.0", "[0, 1]"]),
    "dtype": (["+job=demo", "model.dtype=int8"], ["model.dtype=int8", "float32, bfloat16, float16"]),
    "cluster": (["+job=demo", "cluster.kind=slurm"], ["cluster.kind=slurm", "none, local, ray"]),
    "device": (["+job=demo", "cluster.device=tpu"], ["cluster.device=tpu", "auto, cpu, cuda"]),
    "no address": (["+job=demo", "cluster=ray"], ["cluster.address", "host:port"]),
    "ranks without torchrun": (["+job=demo", "cluster=none"], ["parallel.ulysses=2", "torchrun"]),
    "no weights": (["+job=demo", "model.path=/nowhere"], ["model.path=/nowhere", "folder"]),
    "hub out of reach": (["+job=demo", "model.path=no/where"], ["model.path=no/where", "hub"]),
    "parts missing": (
        ["+job=demo", "model.path={folder}/incomplete"],
        ["model.path={folder}/incomplete", "lacks vae"],
    ),
    "another model": (
        ["+job=demo", "model.path={folder}/other"],
        ["model.path={folder}/other", "12 attention heads"],
    ),
    "value missing": (["+job=demo", "model.path=???"], ["model.path", "not set"]),
    "output": (["+job=demo", "output={folder}/latin1.txt/run"], ["output={folder}/latin1.txt/run", "not a folder"]),
    "empty output": (["+job=demo", "output="], ["output=''", "give a folder"]),
}
if NO_GPU:
    CASES |= {
        "more ranks than GPUs": (["+job=demo", "cluster.device=cuda"], ["cluster.device=cuda", "no GPU"]),
        "large model": (["+job=wan_t2v"], ["model=wan2.1_t2v_14b", "needs a GPU", "model=tiny_wan"]),
    }

IN_A_PROCESS_OF_ITS_OWN = ["not UTF-8", "heads"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model_folder):
    """Files that cannot be used."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "folder.txt").mkdir()
    (folder / "latin1.txt").write_bytes("café".encode("latin-1"))
    (folder / "empty.txt").write_text("\n \n")
    (folder / "prompts.doc").write_text("a cat")
    (folder / "rows.jsonl").write_text('{"prompt": "a cat"}\n{"prompt": "a cat", "num_frames": 80}\n')
    for name in ("incomplete", "other"):
        shutil.copytree(model_folder, folder / name)
    shutil.rmtree(folder / "incomplete" / "vae")
    config = folder / "other" / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_attention_heads": 12}))
    return folder


def typed(name: str, folder, model_folder) -> list[str]:
    """A case's command line; without a model of its own it gets the demo's."""
    arguments = [argument.replace("{folder}", str(folder)) for argument in CASES[name][0]]
    if arguments and not any("model.path" in argument or "wan_t2v" in argument for argument in arguments):
        arguments.append(f"model.path={model_folder}")
    return arguments


@pytest.fixture(scope="module")
def answers(launch_many, folder, model_folder) -> dict[str, dict]:
    return dict(zip(CASES, launch_many([typed(name, folder, model_folder) for name in CASES]), strict=True))


def check(name: str, status: int, stderr: str, folder) -> None:
    assert status == 2, stderr
    [line] = stderr.splitlines()
    assert line.startswith("error: ")
    for part in CASES[name][1]:
        assert part.replace("{folder}", str(folder)) in line


@pytest.mark.parametrize("name", CASES)
def test_status_is_2_and_one_line_names_field_value_and_what_is_allowed(answers, folder, name):
    check(name, answers[name]["status"], answers[name]["stderr"], folder)
    assert answers[name]["stdout"] == ""


@pytest.mark.parametrize("name", IN_A_PROCESS_OF_ITS_OWN)
def test_the_same_in_a_process_of_its_own(launch, folder, model_folder, name):
    done = launch(*typed(name, folder, model_folder))
    check(name, done.returncode, done.stderr, folder)
    assert done.stdout == ""


def test_by_then_no_model_library_and_no_ray_was_imported(answers):
    for answer in answers.values():
        assert set(answer["imported"]) <= {"torch"}  # torch solves the forecast's weights, to check the settings


def test_by_then_no_process_was_started(answers):
    assert all(answer["started"] == [] for answer in answers.values())


# What is typed; what the message, which is Hydra's, must name.
MISSPELT: dict[str, tuple[list[str], list[str]]] = {
    "field": (["+job=demo", "promt=a cat"], ["promt"]),
    "field of a group": (["+job=demo", "video.hight=96"], ["hight"]),
    "job": (["+job=dmeo"], ["job/dmeo", "demo", "wan_t2v"]),
    "choice": (["+job=demo", "forecast=spectrm"], ["forecast/spectrm", "spectrum", "taylor"]),
    "number": (["+job=demo", "denoise.num_steps=many"], ["denoise.num_steps", "many", "Integer"]),
    "nothing": (["+job=demo", "denoise.num_steps=null"], ["denoise.num_steps"]),
    "syntax": (["+job=demo", "seed=[1"], ["[1"]),
}


@pytest.fixture(scope="module")
def answers_to_misspelt(launch_many) -> dict[str, dict]:
    lines = [arguments for arguments, _ in MISSPELT.values()]
    return dict(zip([*MISSPELT, "help"], launch_many([*lines, ["--help"]]), strict=True))


@pytest.mark.parametrize("name", MISSPELT)
def test_misspelt_override_is_hydras_error_and_readable(answers_to_misspelt, name):
    answer = answers_to_misspelt[name]
    assert answer["status"] == 1
    assert "Traceback" not in answer["stderr"]
    for part in MISSPELT[name][1]:
        assert part in answer["stderr"]
    assert set(answer["imported"]) <= {"torch"}
    assert answer["started"] == []


def test_several_runs_at_once_are_refused_rather_than_forgotten(launch_many, model_folder):
    """Hydra would run the command once for each seed."""
    common = ["--multirun", "+job=demo", f"model.path={model_folder}", "dry_run=true"]
    [answer] = launch_many([[*common, "seed=1,2"]])
    assert answer["status"] == 2
    assert "multirun" in answer["stderr"]


def test_help_names_every_group_and_starts_nothing(answers_to_misspelt):
    answer = answers_to_misspelt["help"]
    assert answer["status"] == 0
    for text in ("job: demo, wan_t2v", "cluster: local, none, ray", "prompt=", "dry_run=true"):
        assert text in answer["stdout"]
    assert answer["imported"] == []
