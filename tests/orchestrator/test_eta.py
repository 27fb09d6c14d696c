"""When the batch will be done, against arithmetic done by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.eta import Eta


def eta_after(*seconds: float, num_gangs: int = 1) -> Eta:
    eta = Eta(num_gangs=num_gangs)
    for one in seconds:
        eta.video_took(one)
    return eta


def test_nothing_is_known_at_the_start():
    assert eta_after().remaining_seconds(waiting=3, under_way={}) is None
    assert eta_after().remaining_seconds(waiting=3, under_way={"gang 0": (0.0, 4.0)}) is None


def test_first_video_stands_for_all_before_one_is_done():
    """A quarter in 10 s: 30 s for the rest of it and 40 s for each of the two that wait."""
    assert eta_after().remaining_seconds(waiting=2, under_way={"gang 0": (0.25, 10.0)}) == pytest.approx(110)


def test_finished_videos_say_how_long_one_takes():
    assert eta_after(10.0, 20.0).remaining_seconds(waiting=4, under_way={}) == pytest.approx(60)
    assert eta_after(10.0).remaining_seconds(waiting=1, under_way={"gang 0": (0.5, 99.0)}) == pytest.approx(15)


def test_gangs_share_the_work():
    under_way = {"gang 0": (0.5, 5.0), "gang 1": (0.5, 5.0)}
    assert eta_after(10.0, num_gangs=2).remaining_seconds(waiting=4, under_way=under_way) == pytest.approx(25)


def test_gangs_without_work_do_not_help():
    assert eta_after(10.0, num_gangs=8).remaining_seconds(waiting=0, under_way={"gang 3": (0.2, 2.0)}) == (
        pytest.approx(8)
    )


def test_only_recent_videos_count():
    assert eta_after(1000.0, *[10.0] * 20).remaining_seconds(waiting=1, under_way={}) == pytest.approx(10)


def test_nothing_left_takes_no_time():
    assert eta_after(10.0).remaining_seconds(waiting=0, under_way={}) == 0


def eta_with_decoders(*, denoise: float, decode: float, num_gangs: int, num_decoders: int) -> Eta:
    eta = Eta(num_gangs=num_gangs, num_decoders=num_decoders)
    eta.video_took(denoise)
    eta.decode_took(decode)
    return eta


def simulated_seconds(*, videos: int, denoise: float, decode: float, num_gangs: int, num_decoders: int) -> float:
    """Until the last of the videos is decoded, gang by gang and decode worker by decode worker."""
    gangs, decoders = [0.0] * num_gangs, [0.0] * num_decoders
    for _ in range(videos):
        gang, decoder = (
            min(range(num_gangs), key=gangs.__getitem__),
            min(range(num_decoders), key=decoders.__getitem__),
        )
        gangs[gang] += denoise
        decoders[decoder] = max(decoders[decoder], gangs[gang]) + decode
    return max(decoders)


def test_last_video_is_decoded_after_the_gangs_are_done():
    """Ten videos of 60 s on two gangs, then 3 s for the last one's decode: not ten decodes."""
    eta = eta_with_decoders(denoise=60, decode=3, num_gangs=2, num_decoders=1)
    assert eta.remaining_seconds(waiting=10, under_way={}) == pytest.approx(303)


def test_slow_decode_workers_decide():
    eta = eta_with_decoders(denoise=10, decode=50, num_gangs=2, num_decoders=2)
    assert eta.remaining_seconds(waiting=10, under_way={}) == pytest.approx(250)


def test_videos_that_wait_for_a_decode_worker_or_are_with_one_count_their_decode_alone():
    eta = eta_with_decoders(denoise=600, decode=10, num_gangs=1, num_decoders=1)
    assert eta.remaining_seconds(waiting=0, under_way={}, denoised=2, decoding=[4.0]) == pytest.approx(26)
    assert eta.remaining_seconds(waiting=0, under_way={}, decoding=[99.0]) == 0


def test_before_any_decode_the_gangs_decide():
    eta = Eta(num_gangs=1, num_decoders=1)
    assert eta.remaining_seconds(waiting=2, under_way={"gang 0": (0.25, 10.0)}) == pytest.approx(110)
    assert eta.remaining_seconds(waiting=0, under_way={}, denoised=1) is None


@given(
    videos=st.integers(1, 200),
    denoise=st.floats(1, 100),
    decode=st.floats(1, 100),
    num_gangs=st.integers(1, 8),
    num_decoders=st.integers(1, 4),
)
def test_with_decode_workers_it_is_off_by_one_round_of_videos_at_most(
    videos, denoise, decode, num_gangs, num_decoders
):
    case = {"denoise": denoise, "decode": decode, "num_gangs": num_gangs, "num_decoders": num_decoders}
    predicted = eta_with_decoders(**case).remaining_seconds(waiting=videos, under_way={})
    assert abs(predicted - simulated_seconds(videos=videos, **case)) <= denoise + decode + 1e-6


@given(
    seconds=st.lists(st.floats(0.1, 1e4), max_size=30),
    waiting=st.integers(0, 1000),
    shares=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1e4)), max_size=8),
    num_gangs=st.integers(1, 8),
)
def test_it_never_goes_below_zero_and_more_waiting_never_makes_it_sooner(seconds, waiting, shares, num_gangs):
    eta = eta_after(*seconds, num_gangs=num_gangs)
    under_way = {f"gang {index}": share for index, share in enumerate(shares[:num_gangs])}
    now = eta.remaining_seconds(waiting=waiting, under_way=under_way)
    later = eta.remaining_seconds(waiting=waiting + num_gangs, under_way=under_way)
    assert (now is None) == (later is None)
    if now is not None:
        assert 0 <= now <= later
