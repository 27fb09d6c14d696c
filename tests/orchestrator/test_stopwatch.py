"""Seconds of consecutive pieces of work."""

from time import sleep

import pytest
import torch

from orchestrator.stopwatch import Stopwatch


def test_each_lap_has_its_own_seconds():
    watch = Stopwatch(torch.device("cpu"))
    for pause in (0.0, 0.05, 0.0):
        with watch.lap():
            sleep(pause)
    seconds = watch.seconds()
    assert len(seconds) == 3
    assert all(one >= 0 for one in seconds)
    assert seconds[1] >= 0.05
    assert watch.seconds() == seconds


def test_lap_that_fails_does_not_count():
    watch = Stopwatch(torch.device("cpu"))
    with pytest.raises(RuntimeError), watch.lap():
        raise RuntimeError
    assert watch.seconds() == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_seconds_on_a_gpu_are_those_of_the_gpu():
    watch = Stopwatch(torch.device("cuda"))
    matrix = torch.randn(4096, 4096, device="cuda")
    for _ in range(3):
        with watch.lap():
            matrix @ matrix
    assert all(0 < one < 60 for one in watch.seconds())
