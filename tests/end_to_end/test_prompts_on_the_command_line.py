"""Prompts of any kind through the real command: what it is about to render is what was typed."""

import pytest

from orchestrator.config import LaunchConfig
from orchestrator.launch_plan import plan_launch

PROMPTS = {
    "quotes": """a "red" cat's 'hat' `ls`""",
    "hydra": "a=b, c: [d, {e: f}] (g) ${h} ${oc.env:HOME} $PATH",
    "unbalanced": "}])({[ ${ \\ ' \"",
    "shell": "~ ! # * ? & | ; < > %s $(ls)",
    "scripts": "🎈🧑\u200d🚀 круг 円 วงกลม \u200fעיגול",
    "lines": "one\ntwo\r\n\tthree",
    "hydra words": "null and ??? and true",
    "leading dash": "--help",
    "long": "a very long story " * 500,
}


def run_folder_of(prompt: str, model_folder, **changes: str) -> str:
    """The run folder's name, a hash of what is rendered, planned without the command line."""
    config = LaunchConfig(prompt=prompt, **changes)
    config.job.name = "demo"
    model, video = config.model, config.video
    model.name, model.path, model.num_attention_heads, model.dtype = "tiny_wan", str(model_folder), 8, "float32"
    model.max_sequence_length, model.needs_gpu, model.max_pixels, model.max_frames = 24, False, 192 * 192, 33
    video.height, video.width, video.num_frames, video.fps = 96, 96, 17, 8
    config.cluster.device = "cpu"
    return plan_launch(config).run_folder.root.name


def shown_output(stderr: str) -> str:
    [line] = [line for line in stderr.split("\n") if line.startswith("output ")]
    return line.removeprefix("output").strip()


ODD_NAMES = ["two words", "a=b,c", "$HOME", "${x}", "[bold]", "it's", "🎈", "(1)"]


@pytest.fixture(scope="module")
def odd_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    for name in ODD_NAMES:
        (folder / f"{name}.txt").write_text("one\ntwo\n")
    return folder


@pytest.fixture(scope="module")
def answers(launch_many, model_folder, odd_files) -> dict[str, dict]:
    """To dry runs that give each prompt as the prompt and as what is not to be seen; and to some others."""
    command_lines = {
        **{name: [f"prompt={prompt}", f"negative_prompt={prompt}"] for name, prompt in PROMPTS.items()},
        **{name: [f"batch={odd_files}/{name}.txt", f"output={odd_files}/{name}"] for name in ODD_NAMES},
        "two prompts": ["prompt=a", "prompt=b,c"],
        "prompt taken back": ["prompt=a", "prompt=null"],
    }
    common = ["+job=demo", "forecast=spectrum", f"model.path={model_folder}", "dry_run=true"]
    lines = [[*common, *arguments] for arguments in command_lines.values()]
    answers = dict(zip(command_lines, launch_many(lines), strict=True))
    for answer in answers.values():
        assert answer["status"] == 0, answer["stderr"]
    return answers


@pytest.mark.parametrize("name", PROMPTS)
def test_prompt_arrives_as_it_was_typed(answers, model_folder, name):
    expected = run_folder_of(PROMPTS[name], model_folder, negative_prompt=PROMPTS[name])
    assert shown_output(answers[name]["stderr"]).endswith(f"/outputs/{expected}")
    assert "1 videos" in answers[name]["stderr"]


def test_prompt_arrives_in_a_process_of_its_own_and_a_dry_run_writes_nothing(launch, model_folder, tmp_path):
    """Where the operating system hands the argument over."""
    prompt = "".join(PROMPTS.values())
    done = launch(
        "+job=demo",
        "forecast=spectrum",
        f"prompt={prompt}",
        f"model.path={model_folder}",
        "dry_run=true",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert shown_output(done.stderr) == f"{tmp_path}/outputs/{run_folder_of(prompt, model_folder)}"
    assert list(tmp_path.iterdir()) == []


def test_dry_run_imports_no_model_library_and_starts_nothing(answers):
    assert all(answer["started"] == [] for answer in answers.values())
    assert all(set(answer["imported"]) <= {"torch"} for answer in answers.values())


@pytest.mark.parametrize("name", ODD_NAMES)
def test_files_with_odd_names_are_read_and_written_where_they_were_named(answers, odd_files, name):
    assert "2 videos" in answers[name]["stderr"]
    assert shown_output(answers[name]["stderr"]) == f"{odd_files}/{name}"


def test_last_prompt_wins(answers, model_folder):
    assert shown_output(answers["two prompts"]["stderr"]).endswith(run_folder_of("b,c", model_folder))


def test_null_goes_back_to_the_jobs_own_prompts(answers):
    assert "4 videos, 0 of them done" in answers["prompt taken back"]["stderr"]
