"""Spectrum: forecast the transformer instead of running it (arXiv 2603.01623).

At most denoising steps the blocks of a diffusion transformer are not run. Their output, the hidden state
before the output head, is forecast from earlier steps as one weighted sum, and the head runs on the forecast.

    import spectrum

    spectrum.apply_spectrum(pipe.transformer, pipeline=pipe)  # the paper's settings
    frames = pipe(prompt, num_inference_steps=50).frames[0]  # 14 full rounds instead of 50
    spectrum.remove_spectrum(pipe.transformer)

Importing this package needs torch alone; `apply_spectrum` on a diffusers model also uses its hooks.
"""

from spectrum.apply import apply_spectrum, remove_spectrum
from spectrum.calibration import CalibratedFor, Calibration
from spectrum.forecasters import (
    LinearForecaster,
    adams_weights,
    chebyshev_basis,
    damped_weights,
    foca_weights,
    forecast_weights,
    reuse_weights,
    taylor_weights,
)
from spectrum.gram import Gram, open_loop_errors
from spectrum.history import History, inner_products
from spectrum.plan import Plan, Round, plan_rounds
from spectrum.plan_shapes import node_plan, uniform_plan
from spectrum.settings import Features, ForecastSettings, Method, PlanShape
from spectrum.time_axis import TimeAxis
from spectrum.trunk import Trunk

__all__ = [
    "CalibratedFor",
    "Calibration",
    "Features",
    "ForecastSettings",
    "Gram",
    "History",
    "LinearForecaster",
    "Method",
    "Plan",
    "PlanShape",
    "Round",
    "TimeAxis",
    "Trunk",
    "adams_weights",
    "apply_spectrum",
    "chebyshev_basis",
    "damped_weights",
    "foca_weights",
    "forecast_weights",
    "inner_products",
    "node_plan",
    "open_loop_errors",
    "plan_rounds",
    "remove_spectrum",
    "reuse_weights",
    "taylor_weights",
    "uniform_plan",
]
