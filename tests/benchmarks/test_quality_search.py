"""The search for thresholds."""

import sys

import pytest

from benchmarks.quality_regimes import PLAIN
from benchmarks.quality_search import CLOSE_ENOUGH, mag_ratios, search


def test_search_finds_the_threshold_of_a_falling_number_of_rounds():
    threshold, found = search(lambda one: 10 + 4 * (0.3 / one), 14)
    assert threshold == pytest.approx(0.3, rel=0.2)
    assert abs(found - 14) <= CLOSE_ENOUGH


def test_where_rounds_jump_the_nearest_is_taken():
    threshold, found = search(lambda one: 50.0 if one < 1.0 else 12.0, 14)
    assert found == 12.0
    assert threshold >= 1.0


def test_ratios_are_the_mean_of_what_magcache_prints():
    class Printing:
        def render(self, request, cache):
            assert cache.config().calibrate
            sys.stdout.write("\n[MagCache] Calibration Complete.\n[1.0, 0.9]\n\n[1.0, 0.8]\n")

    assert mag_ratios(Printing(), PLAIN.requests(2)) == [1.0, 0.85]
