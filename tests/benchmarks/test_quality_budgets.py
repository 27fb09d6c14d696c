"""The search for error budgets."""

from math import sqrt

import pytest

from benchmarks.quality_budgets import CLOSE_ENOUGH, Found, best_of, find_budget
from benchmarks.quality_thresholds import Budget


def found(error: float = 0.5, *, full_rounds: float, psnr: float = 30.0, worst: float = 20.0) -> Found:
    budget = Budget(error=error, max_gap=6, damping=0.5)
    return Found(regime="plain", target=14, budget=budget, full_rounds=full_rounds, psnr=psnr, worst=worst)


@pytest.mark.parametrize("start", [0.05, 0.4, 5.0])
@pytest.mark.parametrize("power", [0.15, 0.3, 0.6])
def test_budget_is_found_wherever_the_search_begins(start, power):
    answer = find_budget(lambda error: found(error, full_rounds=14 * (0.37 / error) ** power), start=start)
    assert abs(answer.full_rounds - 14) <= CLOSE_ENOUGH


def test_where_rounds_jump_the_nearest_is_taken():
    answer = find_budget(lambda error: found(error, full_rounds=13.0 if error > 0.4 else 30.0), start=0.1)
    assert answer.full_rounds == 13.0


def test_a_budget_has_three_digits():
    answer = find_budget(lambda error: found(error, full_rounds=14 / sqrt(error)), start=1.23456)
    assert answer.budget.error == float(f"{answer.budget.error:.3g}")


def test_best_is_by_mean_and_worst_among_those_that_come_to_their_target():
    dear = found(full_rounds=15.0, psnr=40.0)
    good, poor = found(full_rounds=14.3, psnr=35.0), found(full_rounds=13.9, psnr=30.0)
    risky = found(full_rounds=14.0, psnr=36.0, worst=12.0)
    assert best_of([poor, dear, risky, good]) is good
    with pytest.raises(ValueError):
        best_of([dear])
