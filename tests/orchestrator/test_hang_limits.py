"""How long a command may take."""

from orchestrator.hang_limits import FIRST_SECONDS, HANG_FACTOR, HANG_SECONDS, PREPARE_SECONDS, HangLimits


def test_limit_is_a_multiple_of_the_slowest_of_the_kind_and_at_least_a_minute():
    limits = HangLimits()
    assert limits.of("480p", "denoise") == FIRST_SECONDS
    limits.note("480p", "denoise", 1.0)
    assert limits.of("480p", "denoise") == HANG_SECONDS
    limits.note("480p", "denoise", 30.0)
    limits.note("480p", "denoise", 20.0)
    assert limits.of("480p", "denoise") == HANG_FACTOR * 30.0
    assert limits.of("720p", "denoise") == limits.of("480p", "decode") == FIRST_SECONDS


def test_texts_that_were_there_already_say_nothing_of_those_to_encode():
    limits = HangLimits()
    assert limits.of("480p", "prepare") == PREPARE_SECONDS
    limits.note("480p", "prepare", 0.1)
    assert limits.of("480p", "prepare") == PREPARE_SECONDS
