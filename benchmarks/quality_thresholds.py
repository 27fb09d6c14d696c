"""Error budgets and caches' thresholds that come nearest to 14 and to 10 full rounds.

Found on captions of SELECTION_SEED, which the benchmark does not use: the caches' by `python -m
benchmarks.quality_search`, by the number of full rounds alone; which gaps and damping go best with an error budget by
`python -m benchmarks.quality_budgets`.
"""

from dataclasses import dataclass, replace
from typing import Self

from benchmarks.quality_caches import CacheKind, CacheSettings
from spectrum import Features, ForecastSettings, Method

NUM_STEPS = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """The settings of an error budget that belong together."""

    error: float
    """Of the forecasts, relative to the features' norm."""
    max_gap: int
    """The widest gap, in steps."""
    damping: float
    """Share of the slope that forecasts keep."""

    def times(self, share: float) -> Self:
        """The same with a share of the error."""
        return replace(self, error=self.error * share)


ERROR_BUDGETS = {
    "plain": {14: Budget(error=0.752, max_gap=6, damping=0.8), 10: Budget(error=0.891, max_gap=12, damping=0.25)},
    "hard": {14: Budget(error=1.14, max_gap=5, damping=0.5), 10: Budget(error=1.64, max_gap=9, damping=0.25)},
}
FIRST_BLOCK_THRESHOLDS = {"plain": {14: 0.162, 10: 0.447}, "hard": {14: 0.159, 10: 0.531}}
SEA_THRESHOLDS = {"plain": {14: 0.384, 10: 0.631}, "hard": {14: 0.466, 10: 0.749}}
MAG_THRESHOLDS = {"plain": {14: 0.159, 10: 0.447}, "hard": {14: 0.133, 10: 0.316}}


def _numbers(text: str) -> list[float]:
    return [float(one) for one in text.split()]


MAG_RATIOS = {
    "plain": _numbers("""
        1.0000 0.9817 0.9865 0.9985 0.9940 0.9881 0.9819 0.9772 0.9872 0.9908
        0.9962 0.9839 0.9919 0.9889 0.9943 0.9939 0.9920 0.9897 0.9922 0.9951
        0.9926 0.9919 0.9897 0.9931 0.9917 0.9890 0.9910 0.9917 0.9897 0.9910
        0.9890 0.9892 0.9877 0.9859 0.9869 0.9820 0.9843 0.9842 0.9813 0.9803
        0.9762 0.9774 0.9717 0.9686 0.9683 0.9616 0.9587 0.9556 0.9561 0.9892
    """),
    "hard": _numbers("""
        1.0000 0.9914 0.9910 0.9984 1.0003 0.9860 0.9988 0.9989 1.0033 0.9930
        0.9935 0.9926 0.9912 0.9897 0.9930 0.9850 0.9966 0.9875 0.9959 0.9884
        1.0048 0.9865 0.9957 0.9931 0.9914 0.9942 0.9934 0.9949 0.9959 0.9911
        0.9927 0.9956 0.9928 0.9919 0.9891 0.9899 0.9888 0.9902 0.9882 0.9848
        0.9865 0.9818 0.9807 0.9746 0.9751 0.9660 0.9569 0.9485 0.9297 0.9075
    """),
}
"""How much longer each step's residual is than the one before: MagCache's own calibration, the mean over branches."""
TAYLORSEER_STEPS = {14: (5, 5), 10: (3, 7)}
"""(disable_cache_before_step, cache_interval); the passes follow from them."""


def budget_settings(budget: Budget) -> ForecastSettings:
    """How videos are rendered with this error budget."""
    return ForecastSettings(
        method=Method.DAMPED,
        features=Features.VELOCITY,
        damping=budget.damping,
        error_budget=budget.error,
        max_gap=budget.max_gap,
        max_history=2,
    )


def first_block_cache(threshold: float) -> CacheSettings:
    """FirstBlockCache: runs the rest of the blocks where the first one's output has changed by more."""
    return CacheSettings(kind=CacheKind.FIRST_BLOCK, options={"threshold": threshold})


def sea_cache(threshold: float) -> CacheSettings:
    """SeaCache, without its limit of 2 steps in a row, with which a third of the rounds would be full."""
    return CacheSettings(kind=CacheKind.SEA, options={"threshold": threshold, "max_consecutive_cached": 0})


def mag_cache(threshold: float, ratios: list[float]) -> CacheSettings:
    """MagCache, full in the first tenth of the steps, not fifth, and with gaps wider than its 3: else 20 are full."""
    return CacheSettings(
        kind=CacheKind.MAG,
        options={
            "threshold": threshold,
            "mag_ratios": list(ratios),
            "num_inference_steps": NUM_STEPS,
            "max_skip_steps": 12,
            "retention_ratio": 0.1,
        },
    )


def taylorseer(target: int, **options: object) -> CacheSettings:
    """TaylorSeer. Its own patterns for the modules to forecast name none of a Wan transformer: `options` must."""
    before, interval = TAYLORSEER_STEPS[target]
    return CacheSettings(
        kind=CacheKind.TAYLORSEER,
        options={"disable_cache_before_step": before, "cache_interval": interval, **options},
    )


def cache_settings(regime_name: str, target: int) -> dict[str, CacheSettings]:
    """The caches by their names in the tables."""
    return {
        "diffusers' FirstBlockCache": first_block_cache(FIRST_BLOCK_THRESHOLDS[regime_name][target]),
        "diffusers' TaylorSeer, lite mode": taylorseer(target, use_lite_mode=True),
        "diffusers' TaylorSeer, attention and ffn": taylorseer(
            target, cache_identifiers=[r"blocks\.\d+\.(attn\d|ffn)"]
        ),
        "diffusers' MagCache": mag_cache(MAG_THRESHOLDS[regime_name][target], MAG_RATIOS[regime_name]),
        "diffusers' SeaCache": sea_cache(SEA_THRESHOLDS[regime_name][target]),
    }
