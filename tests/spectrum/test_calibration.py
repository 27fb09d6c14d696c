"""What a calibration holds, and what it refuses."""

from dataclasses import asdict, replace

import pytest

from spectrum import CalibratedFor, Calibration, ForecastSettings

MADE_FOR = CalibratedFor(model="ab", solver="UniPC", num_steps=5, flow_shift=3.0, guidance_scale=5.0)
WEIGHTS = ((1.0,), (1.25,), (-0.5, 1.5), (-1.0, 2.0))
CALIBRATION = Calibration(made_for=MADE_FOR, full_steps=(0, 2), weights=WEIGHTS)


def test_settings_follow_its_plan_and_weights():
    settings = ForecastSettings(method="calibrated", plan_shape="calibrated", calibration=CALIBRATION)
    assert settings.plan(5).full_steps == (0, 2)
    assert settings.weights((0, 2), 3, num_steps=5).tolist() == [-0.5, 1.5]
    assert settings.weights((0,), 1, num_steps=5).tolist() == [1.0]


def test_older_snapshots_than_it_has_weights_for_count_nothing():
    longer = Calibration(made_for=MADE_FOR, full_steps=(0, 1, 2), weights=((1.0,), (1.0,), (0.5, 0.5), (1.0,)))
    assert longer.weights_at(3, 3).tolist() == [0.0, 0.5, 0.5]
    assert longer.num_snapshots == 2


def test_plain_values_of_a_file_become_the_same():
    plain = {"made_for": asdict(MADE_FOR), "full_steps": [0, 2], "weights": [list(one) for one in WEIGHTS]}
    settings = ForecastSettings(method="calibrated", plan_shape="calibrated", calibration=plain)
    assert settings.calibration == CALIBRATION
    assert hash(settings.calibration) == hash(CALIBRATION)


def test_its_plan_may_be_used_with_another_forecaster():
    settings = ForecastSettings(method="reuse", plan_shape="calibrated", calibration=CALIBRATION)
    assert settings.plan(5).full_steps == (0, 2)
    assert settings.weights((0, 2), 3, num_steps=5).tolist() == [0.0, 1.0]


def test_differences_name_every_field():
    assert MADE_FOR.differences(MADE_FOR) == []
    other = replace(MADE_FOR, num_steps=50, flow_shift=5.0)
    assert MADE_FOR.differences(other) == ["num_steps=5, not 50", "flow_shift=3.0, not 5.0"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weights": WEIGHTS[:-1]}, "3 lists of weights, 5 steps need one less"),
        ({"weights": ((1.0, 1.0), *WEIGHTS[1:])}, "2 weights at step 1, after 1 full rounds"),
        ({"weights": ((), *WEIGHTS[1:])}, "0 weights at step 1"),
    ],
)
def test_steps_and_weights_that_do_not_belong_together_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        replace(CALIBRATION, **fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"method": "calibrated", "plan_shape": "calibrated"}, "calibration is not set"),
        ({"method": "reuse", "plan_shape": "calibrated"}, "calibration is not set"),
        ({"method": "calibrated", "calibration": CALIBRATION}, "plan_shape must be calibrated"),
        (
            {"method": "calibrated", "plan_shape": "calibrated", "calibration": replace(CALIBRATION, weights=())},
            "has no weights",
        ),
        ({"calibration": {"full_steps": [0]}}, "must hold made_for"),
        ({"calibration": {"made_for": {"model": "ab"}, "full_steps": [0]}}, "must hold made_for"),
    ],
)
def test_settings_that_need_what_is_not_there_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ForecastSettings(**fields)


def test_another_number_of_steps_is_refused():
    settings = ForecastSettings(method="calibrated", plan_shape="calibrated", calibration=CALIBRATION)
    with pytest.raises(ValueError, match="for 5 steps, not 50"):
        settings.plan(50)


def test_a_step_without_weights_is_named():
    with pytest.raises(ValueError, match="no weights for step 9"):
        CALIBRATION.weights_at(9, 2)
    with pytest.raises(ValueError, match="calibrated for 2 snapshots, there are 1"):
        CALIBRATION.weights_at(3, 1)
