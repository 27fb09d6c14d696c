"""Axes of time: from 0 at the first step to the number of steps at the end, always rising."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectrum import TimeAxis
from spectrum.time_axis import axis_time


@given(axis=st.sampled_from(TimeAxis), num_steps=st.integers(2, 100), shift=st.floats(0.1, 20))
def test_axis_rises_from_nothing_to_the_number_of_steps(axis, num_steps, shift):
    times = [axis_time(axis, step, num_steps=num_steps, shift=shift) for step in range(num_steps + 1)]
    assert times[0] == pytest.approx(0, abs=1e-9)
    assert times[-1] == pytest.approx(num_steps)
    assert all(earlier < later for earlier, later in itertools.pairwise(times))


def test_step_axis_is_the_step():
    assert axis_time(TimeAxis.STEP, 7, num_steps=50, shift=3.0) == 7


def test_sigma_axis_is_the_noise_that_is_gone():
    """Half way a shift of 3 leaves a sigma of 3·0.5/(1 + 2·0.5) = 0.75."""
    assert axis_time(TimeAxis.SIGMA, 25, num_steps=50, shift=3.0) == pytest.approx(50 * 0.25)


def test_log_snr_axis_is_even_around_a_sigma_of_a_half():
    middle = axis_time(TimeAxis.LOG_SNR, 25, num_steps=50, shift=1.0)
    assert middle == pytest.approx(25)
