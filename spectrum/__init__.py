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
from spectrum.chebyshev import chebyshev_basis, forecast_weights
from spectrum.history import History
from spectrum.plan import Plan, Round, plan_rounds
from spectrum.reuse import reuse_weights
from spectrum.settings import ForecastSettings, Method
from spectrum.taylor import taylor_weights
from spectrum.trunk import Trunk

__all__ = [
    "ForecastSettings",
    "History",
    "Method",
    "Plan",
    "Round",
    "Trunk",
    "apply_spectrum",
    "chebyshev_basis",
    "forecast_weights",
    "plan_rounds",
    "remove_spectrum",
    "reuse_weights",
    "taylor_weights",
]
