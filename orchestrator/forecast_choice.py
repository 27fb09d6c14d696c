"""The forecaster of a launch: its settings, and whether a calibration belongs to what is rendered."""

from dataclasses import asdict
from pathlib import Path

from orchestrator.choices import choose
from orchestrator.config import ForecastConfig, LaunchConfig
from orchestrator.errors import BadInput
from orchestrator.model_folder import solver_name
from spectrum import CalibratedFor, Features, ForecastSettings, Method, PlanShape, TimeAxis

FINGERPRINT_LENGTH = 16
"""Digits of a model's fingerprint in a calibration."""


def forecast_settings(config: ForecastConfig, *, flow_shift: float) -> ForecastSettings:
    """The settings that the configuration comes to.

    Raises:
        BadInput: a field is out of range.
    """
    fields = asdict(config)
    del fields["anywhere"], fields["for_model"]
    fields["method"] = choose(Method, config.method, "forecast.method")
    fields["features"] = choose(Features, config.features, "forecast.features")
    fields["plan_shape"] = choose(PlanShape, config.plan_shape, "forecast.plan_shape")
    fields["axis"] = axis = choose(TimeAxis, config.axis, "forecast.axis")
    if axis is not TimeAxis.STEP:
        fields["axis_shift"] = flow_shift
    try:
        return ForecastSettings(**fields)
    except ValueError as error:
        raise BadInput(f"forecast.{error}") from error


def check_plan(forecast: ForecastSettings, num_steps: int) -> None:
    """Raises BadInput where the plan cannot be followed in this number of steps."""
    try:
        forecast.plan(num_steps)
    except ValueError as error:
        raise BadInput(f"forecast.{error} (denoise.num_steps={num_steps})") from error


def made_for(config: LaunchConfig, model_folder: Path, fingerprint: str) -> CalibratedFor:
    """What a calibration must have been made for, to be used in this launch."""
    return CalibratedFor(
        model=fingerprint[:FINGERPRINT_LENGTH],
        solver=solver_name(model_folder),
        num_steps=config.denoise.num_steps,
        flow_shift=config.denoise.flow_shift,
        guidance_scale=config.denoise.guidance_scale,
    )


def check_model(forecast: ForecastConfig, launched: CalibratedFor) -> None:
    """Raises BadInput where an error budget was found for another model."""
    has_budget = forecast.error_budget is not None and forecast.method != Method.NONE
    if has_budget and forecast.for_model not in (None, launched.model) and not forecast.anywhere:
        raise BadInput(
            f"forecast.for_model={forecast.for_model}: this error budget was found for that model, and this one is "
            f"{launched.model}: find its own with orchestrator.calibrate, take forecast=spectrum, or say "
            "forecast.anywhere=true"
        )


def check_calibration(forecast: ForecastSettings, launched: CalibratedFor) -> None:
    """Raises BadInput where a calibration was made for something else."""
    if forecast.calibration is None:
        return
    differences = forecast.calibration.made_for.differences(launched)
    if differences:
        raise BadInput(
            f"forecast.calibration was made for {'; '.join(differences)}: calibrate for these with "
            "orchestrator.calibrate, or say forecast.anywhere=true"
        )
