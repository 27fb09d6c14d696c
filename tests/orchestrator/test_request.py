"""Video ids: the same for the same pixels, another for anything that decides them.

That they are the same in every process is seen where the command's are compared with the tests' own.
"""

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.request import VIDEO_ID_LENGTH, Request, content_hash, video_id
from spectrum import CalibratedFor, Calibration, ForecastSettings, Method

MODEL = {"model_fingerprint": "f" * 64, "dtype": "float32"}
OTHER = {
    "prompt": "another",
    "negative_prompt": "blue",
    "seed": 4,
    "height": 112,
    "width": 112,
    "num_frames": 21,
    "fps": 16,
    "num_steps": 9,
    "guidance_scale": 4.5,
    "flow_shift": 5.0,
    "forecast": ForecastSettings(growth=3),
    "decode_tiling": True,
    "rounded_noise": True,
}
CALIBRATION = Calibration(
    made_for=CalibratedFor(model="m", solver="s", num_steps=8, flow_shift=3.0, guidance_scale=5.0),
    full_steps=(0, 4),
)
OTHER_FORECAST = {
    "method": Method.TAYLOR,
    "features": "velocity",
    "plan_shape": "nodes",
    "num_full": 6,
    "node_density": 0.5,
    "full_steps": (0, 3),
    "error_budget": 0.1,
    "max_gap": 5,
    "max_history": 4,
    "penalise_constant": False,
    "half_life": 3.0,
    "axis": "sigma",
    "axis_shift": 5.0,
    "damping": 0.25,
    "rank": 8,
    "calibration": CALIBRATION,
    "warmup_steps": 4,
    "window": 3.0,
    "growth": 1.0,
    "degree": 3,
    "ridge": 0.2,
    "blend": 0.5,
    "order": 2,
}


def test_id_is_a_short_hexadecimal_name(make_request):
    name = video_id(make_request(), **MODEL)
    assert len(name) == VIDEO_ID_LENGTH
    assert set(name) <= set("0123456789abcdef")


def test_cases_below_leave_nothing_out():
    assert OTHER.keys() == {field.name for field in fields(Request)}
    assert OTHER_FORECAST.keys() == {field.name for field in fields(ForecastSettings)}


@pytest.mark.parametrize("name", OTHER)
def test_each_field_of_a_request_changes_the_id(make_request, name):
    assert video_id(make_request(**{name: OTHER[name]}), **MODEL) != video_id(make_request(), **MODEL)


@pytest.mark.parametrize("name", OTHER_FORECAST)
def test_each_forecast_setting_changes_the_id(make_request, name):
    base = ForecastSettings(plan_shape="nodes" if name == "num_full" else "paper")
    one, other = (
        make_request(forecast=forecast) for forecast in (base, replace(base, **{name: OTHER_FORECAST[name]}))
    )
    assert video_id(other, **MODEL) != video_id(one, **MODEL)


def test_ids_of_earlier_releases_stay(make_request):
    """Else what is finished would be rendered again."""
    assert video_id(make_request(), **MODEL) == "51d08f49a66e38bf"
    nodes = ForecastSettings(plan_shape="nodes", num_full=10)
    assert video_id(make_request(forecast=nodes), **MODEL) == "25abee520b4d6967"


@pytest.mark.parametrize("name", MODEL)
def test_model_and_dtype_change_the_id(make_request, name):
    assert video_id(make_request(), **MODEL | {name: "other"}) != video_id(make_request(), **MODEL)


@given(first=st.text(), second=st.text())
def test_prompts_have_the_same_id_exactly_if_they_are_the_same(make_request, first, second):
    first_id, second_id = (video_id(make_request(prompt=prompt), **MODEL) for prompt in (first, second))
    assert (first_id == second_id) == (first == second)


def test_text_cannot_move_from_one_field_to_the_next(make_request):
    ids = {
        video_id(make_request(prompt=prompt, negative_prompt=negative), **MODEL)
        for prompt, negative in [("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc"), ('a","negative_prompt":"b', "c")]
    }
    assert len(ids) == 5


def test_guidance_is_needed_above_one_only(make_request):
    assert [make_request(guidance_scale=scale).is_guided for scale in (0.0, 1.0, 1.01, 5.0)] == [
        False,
        False,
        True,
        True,
    ]


@given(st.dictionaries(st.text(), st.integers()))
def test_content_hash_does_not_depend_on_the_order_of_keys(value):
    assert content_hash(value) == content_hash(dict(reversed(value.items())))


def test_json_of_a_request_is_plain(make_request):
    assert json.loads(json.dumps(make_request().as_json()))["forecast"]["method"] == "spectrum"


@given(prompt=st.text(), seed=st.integers(0, 2**63 - 1), scale=st.floats(0, 100), growth=st.floats(0, 9))
def test_id_is_the_hash_of_the_requests_canonical_json(make_request, prompt, seed, scale, growth):
    request = make_request(prompt=prompt, seed=seed, guidance_scale=scale, forecast=ForecastSettings(growth=growth))
    whole = {"request": request.as_json(), "model": "m", "dtype": "float32"}
    assert video_id(request, model_fingerprint="m", dtype="float32") == content_hash(whole)[:VIDEO_ID_LENGTH]
