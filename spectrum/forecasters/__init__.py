"""Forecasters: how the features of a step are extrapolated from those of earlier ones, each from its paper."""

from spectrum.forecasters.adams import adams_weights
from spectrum.forecasters.chebyshev import chebyshev_basis, forecast_weights
from spectrum.forecasters.damped import damped_weights
from spectrum.forecasters.foca import foca_weights
from spectrum.forecasters.reuse import reuse_weights
from spectrum.forecasters.taylor import taylor_weights
from spectrum.forecasters.times import LinearForecaster, line_weights

__all__ = [
    "LinearForecaster",
    "adams_weights",
    "chebyshev_basis",
    "damped_weights",
    "foca_weights",
    "forecast_weights",
    "line_weights",
    "reuse_weights",
    "taylor_weights",
]
