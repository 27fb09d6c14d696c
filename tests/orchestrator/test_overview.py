"""What a launch says that it is about to do."""

import io

import pytest
from rich.console import Console

from orchestrator.launch_plan import plan_launch
from orchestrator.overview import print_overview


def overview_of(plan, *, width=200) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_overview(console, plan)
    return console.file.getvalue()


def test_it_names_batch_video_model_rounds_gangs_and_output(config, tmp_path):
    config.denoise.num_steps = 50
    shown = overview_of(plan_launch(config))
    for text in (
        "1 videos, 0 of them done",
        "96×96, 17 frames at 8/s",
        "tiny_wan (float32)",
        "14 full of 50 (spectrum): 0 1 2 3 4 6 8 11 15 20 25 31 38 46",
        "1 gang of one rank",
        "cluster none",
        str(tmp_path / "output"),
    ):
        assert text in shown


def test_rounds_that_an_error_budget_chooses_are_not_told_beforehand(config):
    config.denoise.num_steps, config.forecast.error_budget = 50, 0.4
    shown = overview_of(plan_launch(config))
    assert "about 14 full of 50 (spectrum), chosen by an error budget of 0.4 as each video goes" in shown


def test_it_counts_the_videos_that_are_done(config, tmp_path):
    (tmp_path / "prompts.txt").write_text("one\ntwo")
    config.prompt, config.batch = None, str(tmp_path / "prompts.txt")
    plan = plan_launch(config)
    folder = plan.run_folder.video(next(iter(plan.requests)))
    folder.root.mkdir(parents=True)
    folder.video.touch()
    folder.sidecar.touch()
    assert "2 videos, 1 of them done" in overview_of(plan)


@pytest.mark.parametrize("name", ["[bold]", "a[/b]c", ":smile:", "two words", "back\\slash[x]", "100%"])
@pytest.mark.parametrize("width", [40, 200])
def test_any_output_folder_is_shown_as_it_is(config, tmp_path, name, width):
    config.output = str(tmp_path / name)
    assert overview_of(plan_launch(config), width=width).splitlines()[-1].endswith(f"{tmp_path}/{name}")


def test_output_folder_steers_no_terminal(config, tmp_path):
    config.output = str(tmp_path / "a\x1b]0;owned\x07")
    shown = overview_of(plan_launch(config))
    assert f"{tmp_path}/a ]0;owned" in shown and "\x1b" not in shown and "\x07" not in shown


def test_it_names_the_shard_and_the_kinds_of_videos(config, tmp_path):
    (tmp_path / "rows.csv").write_text(
        "prompt,num_steps,size\n" + "".join(f"{n},{n + 1},{16 * (n + 1)}x96\n" for n in range(6))
    )
    config.prompt, config.batch = None, str(tmp_path / "rows.csv")
    shown = overview_of(plan_launch(config), width=1000)
    assert "6 videos, 0 of them done" in shown
    assert "96×16, 17 frames at 8/s; 96×32, " in shown and shown.count("; and 2 more") == 2
    config.job.shard = "1/1000"
    shown = overview_of(plan_launch(config), width=1000)
    assert "videos (shard 1 of 1000), 0 of them done" in shown


def test_it_says_what_is_rendered_for_comparison(config):
    assert "quality" not in overview_of(plan_launch(config))
    config.quality.reference = 3
    shown = overview_of(plan_launch(config))
    assert "1 videos, 0 of them done" in shown
    assert "1 videos beside all rounds full: 1 more renders, 1 from rounded noise as well" in shown
