"""Rows become requests over the configuration's values; whatever cannot be is named with file, line and field."""

import json
import multiprocessing
import os
import resource
import tracemalloc
from dataclasses import fields

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planning import set_value

from orchestrator.config import ForecastConfig
from orchestrator.errors import BadInput
from orchestrator.forecast_choice import check_plan, forecast_settings
from orchestrator.launch_plan import plan_launch
from orchestrator.model_folder import solver_name
from orchestrator.request import Request
from orchestrator.row_requests import MOST_PROBLEMS_SHOWN
from spectrum import Method


@pytest.fixture
def plan_rows(config, tmp_path):
    """`plan_rows([{"prompt": …}, …])`: the plan of a manifest with these rows."""

    def plan(rows, *, name="rows.jsonl"):
        path = tmp_path / name
        path.write_text(rows if isinstance(rows, str) else "\n".join(map(json.dumps, rows)))
        config.prompt, config.batch = None, str(path)
        return plan_launch(config)

    return plan


@pytest.fixture
def refusal_of_rows(plan_rows, tmp_path):
    """The message's lines, with the file's name alone."""

    def refusal(rows, *, name="rows.jsonl") -> list[str]:
        with pytest.raises(BadInput) as refused:
            plan_rows(rows, name=name)
        return str(refused.value).replace(f"{tmp_path}/", "").splitlines()

    return refusal


ROW = {
    "prompt": "a blue square",
    "negative_prompt": "red",
    "seed": 7,
    "height": 64,
    "width": 80,
    "num_frames": 9,
    "fps": 12,
    "num_steps": 20,
    "guidance_scale": 4.5,
    "flow_shift": 5.0,
    "decode_tiling": True,
}
FORECAST = {"method": "taylor", "warmup_steps": 3, "growth": 2.0, "order": 2}


def test_every_field_of_a_request_can_stand_in_a_row(plan_rows):
    made_by_the_launch_alone = {"rounded_noise"}
    assert ROW.keys() == {field.name for field in fields(Request)} - {"forecast"} - made_by_the_launch_alone
    [request] = plan_rows([ROW | {"forecast": FORECAST}]).requests.values()
    assert {name: getattr(request, name) for name in ROW} == ROW
    assert (request.forecast.method, request.forecast.growth, request.forecast.order) == (Method.TAYLOR, 2.0, 2)


def test_every_setting_of_the_forecast_can_stand_in_a_row(plan_rows, config):
    for field in fields(ForecastConfig):
        default = getattr(config.forecast, field.name)
        if default is not None:
            [nested] = plan_rows([{"prompt": "one", "forecast": {field.name: default}}]).entries
            [flat] = plan_rows([{"prompt": "one", f"forecast.{field.name}": default}]).entries
            [without] = plan_rows([{"prompt": "one"}]).entries
            assert nested == flat == without


@pytest.mark.parametrize(
    "row",
    [
        {"forecast": {"error_budget": None, "plan_shape": "nodes", "num_full": 3}},
        {"forecast.error_budget": None, "forecast.plan_shape": "nodes", "forecast.num_full": 3},
        {"forecast.error_budget": "null", "forecast.plan_shape": "nodes", "forecast.num_full": "3"},
    ],
)
def test_null_takes_back_an_error_budget_of_the_configuration(plan_rows, refusal_of_rows, config, row):
    config.forecast.error_budget = 0.1
    [request] = plan_rows([{"prompt": "one", "seed": None, "forecast.growth": None, **row}]).requests.values()
    assert (request.forecast.error_budget, request.forecast.num_full) == (None, 3)
    [line] = refusal_of_rows([{"prompt": "one", "forecast.plan_shape": "nodes"}])
    assert "set error_budget to null" in line
    [line] = refusal_of_rows([{"prompt": None}])
    assert "prompt is not given" in line


@pytest.mark.parametrize(
    ("field", "name", "value"),
    [
        ("negative_prompt", "negative_prompt", "blue"),
        ("seed", "seed", 4),
        ("video.height", "height", 64),
        ("video.fps", "fps", 4),
        ("denoise.num_steps", "num_steps", 7),
        ("denoise.guidance_scale", "guidance_scale", 1.0),
        ("forecast.growth", "forecast.growth", 3.0),
        ("decode.tiling", "decode_tiling", True),
    ],
)
def test_what_a_row_does_not_say_is_the_configurations(plan_rows, config, field, name, value):
    [said] = plan_rows([{"prompt": "one", name: value}]).entries
    set_value(config, field, value)
    [default] = plan_rows([{"prompt": "one"}]).entries
    assert said == default


def test_same_request_has_the_same_id_in_every_kind_of_file(plan_rows, config):
    ids = {
        *plan_rows([{"prompt": "one", "seed": 2, "size": "64x80", "guidance_scale": 4}]).entries,
        *plan_rows([{"prompt": "one", "seed": 2.0, "height": 64, "width": 80, "guidance_scale": 4.0}]).entries,
        *plan_rows("prompt,seed,size,guidance_scale\none,2,64 x 80,4\n", name="rows.csv").entries,
        *plan_rows("- {prompt: one, seed: 2, size: 64×80, guidance_scale: 4}", name="rows.yaml").entries,
        *plan_rows(
            "defaults: {size: 64x80, seed: 2, guidance_scale: 4.0}\nvideos: [{prompt: one}]", name="d.yaml"
        ).entries,
    }
    config.seed, config.video.height, config.video.width, config.denoise.guidance_scale = 2, 64, 80, 4.0
    assert ids == set(plan_rows("one\n", name="rows.txt").entries)


def test_row_wins_over_the_files_defaults_and_those_over_the_configuration(plan_rows, config):
    config.seed = 1
    text = "defaults: {seed: 2, size: 64x64, forecast: {growth: 2, degree: 3}}\nvideos:\n"
    text += "- {prompt: one}\n- {prompt: two, seed: 3, width: 80, forecast: {growth: 3}}\n"
    one, two = plan_rows(text, name="rows.yaml").requests.values()
    assert (one.seed, one.height, one.width, one.forecast.growth, one.forecast.degree) == (2, 64, 64, 2.0, 3)
    assert (two.seed, two.height, two.width, two.forecast.growth, two.forecast.degree) == (3, 64, 80, 3.0, 3)


def test_number_of_seeds_makes_as_many_videos(plan_rows):
    plan = plan_rows([{"prompt": "one", "seed": 5, "seeds": 4, "name": "clip"}, {"prompt": "one", "seed": 6}])
    assert [request.seed for request in plan.requests.values()] == [5, 6, 7, 8]
    assert {entry.name for entry in plan.entries.values()} == {"clip"}


@pytest.mark.parametrize(
    ("fields_", "said"),
    [
        ({"num_frames": 80}, "num_frames=80 must be 4k + 1 and at most 33 for tiny_wan; nearest: 33"),
        ({"height": 100}, "height=100 must be a positive multiple of 16; nearest: 96 or 112"),
        ({"size": "96x400"}, "is more than the 36864 pixels"),
        ({"size": "big"}, "size=big must be height x width in pixels"),
        ({"size": "96x96", "height": 96}, "size and height or width are both given"),
        ({"fps": 0}, "fps=0 must lie in 1..240"),
        ({"num_steps": 0}, "num_steps=0 must lie in 1..1000"),
        ({"guidance_scale": -1}, "guidance_scale=-1.0 must lie in 0..100"),
        ({"guidance_scale": float("nan")}, "guidance_scale=nan must lie in 0..100"),
        ({"flow_shift": 0}, "flow_shift=0.0 must be above 0"),
        ({"seed": -1}, "seed=-1 must lie in 0..2^63 - 1"),
        ({"seed": 2**63 - 2, "seeds": 3}, f"seed={2**63} must lie in"),
        ({"seed": "many"}, "seed=many must be a whole number"),
        ({"seed": 1.5}, "seed=1.5 must be a whole number"),
        ({"seed": True}, "seed=True must be a whole number"),
        ({"seeds": 0}, "seeds=0 must lie in 1..100000"),
        ({"priority": 10**9}, "priority=1000000000 must lie in"),
        ({"guidance_scale": "much"}, "guidance_scale=much must be a number"),
        ({"guidance_scale": [1]}, "guidance_scale=[1] must be a number"),
        ({"decode_tiling": "maybe"}, "decode_tiling=maybe must be true or false"),
        ({"prompt": " "}, "prompt=' ' is empty"),
        ({"prompt": 3}, "prompt=3 must be text"),
        ({"prompt": "\ud800"}, "prompt="),
        ({"negative_prompt": ["a"]}, "negative_prompt=['a'] must be text"),
        ({"name": "two\nlines"}, "name="),
        ({"name": "x" * 201}, "name="),
        ({"forecast.growth": -1}, "forecast.growth=-1.0 must be"),
        ({"forecast": {"method": "magic"}}, "forecast.method=magic must be one of: spectrum, "),
        ({"forecast": {"grwth": 1}}, "forecast.grwth is no field of a request; did you mean forecast.growth?"),
        ({"forecast": "fast"}, "forecast=fast must be a mapping"),
        ({"promt": "x"}, "promt is no field of a request; did you mean prompt?"),
        ({"xyzzy": 1}, "allowed: prompt, negative_prompt, seed"),
        ({"x" * 500: 1}, "…"),
    ],
    ids=repr,
)
def test_value_that_cannot_be_is_refused_with_file_line_field_and_what_is_allowed(refusal_of_rows, fields_, said):
    [line] = refusal_of_rows([{"prompt": "fine"}, {"prompt": "one"} | fields_])
    assert line.startswith("rows.jsonl line 2: ")
    assert said in line
    assert len(line) < 300


def test_row_without_a_prompt_is_refused(refusal_of_rows):
    assert refusal_of_rows([{"seed": 1}]) == [
        "rows.jsonl line 1: prompt is not given: say what the video should show"
    ]


def test_all_that_is_wrong_is_said_at_once(refusal_of_rows):
    rows = [{"prompt": "one", "seed": -1, "fps": 0}, {"prompt": "two"}, {"prompt": "three", "num_steps": "x"}]
    assert refusal_of_rows(rows) == [
        "batch=rows.jsonl: 3 errors",
        "rows.jsonl line 1: fps=0 must lie in 1..240",
        "rows.jsonl line 1: seed=-1 must lie in 0..2^63 - 1",
        "rows.jsonl line 3: num_steps=x must be a whole number",
    ]


def test_of_very_many_errors_the_first_are_shown_and_the_others_counted(refusal_of_rows):
    lines = refusal_of_rows([{"prompt": "one", "fps": 0}] * 100)
    assert len(lines) == MOST_PROBLEMS_SHOWN + 2
    assert (lines[0], lines[-1]) == ("batch=rows.jsonl: 100 errors", "… and 80 more")


def test_column_that_is_no_field_is_named_once(refusal_of_rows):
    lines = refusal_of_rows("prompt,sed,fps\none,1,0\ntwo,2,8\n", name="rows.csv")
    assert lines == [
        "batch=rows.csv: 2 errors",
        "rows.csv line 1: sed is no field of a request; did you mean seed?",
        "rows.csv line 2: fps=0 must lie in 1..240",
    ]


def test_flaw_of_the_defaults_is_named_once(refusal_of_rows):
    text = "defaults: {fsp: 3, seed: many}\nvideos:\n- prompt: one\n- prompt: two\n"
    lines = refusal_of_rows(text, name="rows.yaml")
    assert [line.split(":")[0] for line in lines] == ["batch=rows.yaml", "rows.yaml line 1", "rows.yaml line 1"]


@pytest.mark.parametrize("name", ["rows.csv", "rows.yaml", "rows.jsonl", "rows.txt"])
def test_manifest_without_videos_is_refused(refusal_of_rows, name):
    [line] = refusal_of_rows("prompt\n" if name == "rows.csv" else "\n", name=name)
    assert "rows" in line and "holds no prompts" in line


def test_errors_come_before_the_model_is_looked_for(refusal_of_rows, config):
    config.model.path = "/nowhere"
    [line] = refusal_of_rows([{"prompt": "one", "fps": 0}])
    assert line == "rows.jsonl line 1: fps=0 must lie in 1..240"


HOSTILE = [
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "..",
    "~root",
    "$(touch hacked)",
    "`touch hacked`",
    "; rm -rf .",
    "-rf",
]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=50),
    prompt=st.sampled_from(HOSTILE) | st.text().filter(str.strip),
)
def test_no_name_or_prompt_becomes_a_path(plan_rows, tmp_path, name, prompt):
    plan = plan_rows([{"prompt": prompt, "name": name}])
    [(video_id, entry)] = plan.entries.items()
    assert (entry.name, entry.request.prompt) == (name, prompt)
    folder = plan.run_folder.video(video_id)
    assert folder.root.parent == tmp_path / "output"
    assert set(folder.root.name) <= set("0123456789abcdef")
    assert not (tmp_path / "output").exists()


def many_rows(path, number: int, suffix: str) -> None:
    with path.open("w") as file:
        file.write("prompt,seed,name,forecast.growth\n" if suffix == ".csv" else "")
        for index in range(number):
            prompt, name = f"a large red circle number {index}", f"clip {index}"
            if suffix == ".csv":
                file.write(f"{prompt},{index % 7},{name},{1 + index % 2}\n")
            else:
                row = {"prompt": prompt, "seed": index % 7, "name": name, "forecast": {"growth": 1 + index % 2}}
                file.write(json.dumps(row) + "\n")


def peak_bytes_of(plan) -> int:
    tracemalloc.start()
    try:
        plan()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_grows_by_less_than_a_kilobyte_a_row(config, tmp_path):
    config.prompt, config.batch = None, str(tmp_path / "rows.jsonl")
    peaks = {}
    for number in (9000, 1000, 9000):  # the first time Python's own table of names may grow, once and for all
        many_rows(tmp_path / "rows.jsonl", number, ".jsonl")
        peaks[number] = peak_bytes_of(lambda: plan_launch(config))
    assert peaks[9000] - peaks[1000] < 8000 * 1024


def test_hundred_thousand_rows_need_little_memory(config, tmp_path):
    """Of the whole process, torch and all: a child, as such memory is only ever seen to grow."""
    many_rows(tmp_path / "rows.csv", 100_000, ".csv")
    config.prompt, config.batch = None, str(tmp_path / "rows.csv")

    def plan() -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        entries = plan_launch(config).entries
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os._exit(0 if len(entries) == 100_000 and grown < 200 * 1024 else 1)

    process = multiprocessing.get_context("fork").Process(target=plan)
    process.start()
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_what_many_rows_share_is_made_and_checked_once(config, tmp_path, monkeypatch, suffix):
    """So that the work grows with the number of rows and no faster, whatever the settings cost."""
    made = []
    monkeypatch.setattr(
        "orchestrator.row_requests.forecast_settings",
        lambda *args, **kwargs: (made.append(1), forecast_settings(*args, **kwargs))[1],
    )
    monkeypatch.setattr("orchestrator.row_requests.check_plan", lambda *args: (made.append(1), check_plan(*args))[1])
    config.prompt, config.batch = None, str(tmp_path / f"rows{suffix}")
    for number in (100, 1000):
        many_rows(tmp_path / f"rows{suffix}", number, suffix)
        made.clear()
        plan = plan_launch(config)
        assert len({id(request.forecast) for request in plan.requests.values()}) == 2
        assert len(made) == 4


def test_calibration_must_have_been_made_for_every_row(config, plan_rows, refusal_of_rows):
    plan = plan_rows([{"prompt": "one"}])
    made_for = {
        **{"model": plan.model.fingerprint[:16], "solver": solver_name(plan.model.folder)},
        **{"num_steps": 8, "flow_shift": 3.0, "guidance_scale": 5.0},
    }
    config.forecast.method, config.forecast.plan_shape = "reuse", "calibrated"
    config.forecast.calibration = {"made_for": made_for, "full_steps": [0, 1, 4], "weights": []}
    assert plan_rows([{"prompt": "one"}]).entries
    [line] = refusal_of_rows([{"prompt": "one"}, {"prompt": "two"}, {"prompt": "three", "guidance_scale": 4}])
    assert line.startswith("rows.jsonl line 3: forecast.calibration was made for guidance_scale=5.0, not 4.0")
    assert plan_rows([{"prompt": "three", "guidance_scale": 4, "forecast": {"anywhere": True}}]).entries
    [line] = refusal_of_rows([{"prompt": "one"}, {"prompt": "two", "num_steps": 9}])
    assert line.startswith("rows.jsonl line 2: forecast.") and "9" in line
    guidance = [{"prompt": f"guided {one}", "guidance_scale": 6 + one} for one in range(30)]
    lines = refusal_of_rows([{"prompt": "one"}, *guidance[:2], *guidance[:2], {"prompt": "two", "flow_shift": 5}])
    assert [line.partition("made for")[0] for line in lines] == [
        "batch=rows.jsonl: 3 errors",
        *(f"rows.jsonl line {line}: forecast.calibration was " for line in (2, 3, 6)),
    ]
    lines = refusal_of_rows(guidance)
    assert len(lines) == MOST_PROBLEMS_SHOWN + 2 and lines[-1] == "… and 10 more"
