"""The verdict on a send queue, over courses that targets really take."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sluice_media.push.flow import FlowMeter, Sample
from sluice_media.push.machine import Flow

RATE = 200_000
STEP = 0.2


def course(waiting_at: Callable[[float], float], seconds: float) -> list[tuple[float, Flow]]:
    """Verdicts for a queue of ``waiting_at(t)`` bytes while media comes at RATE."""
    meter = FlowMeter()
    found = []
    for step in range(int(seconds / STEP)):
        at = step * STEP
        flow = meter.sample(Sample(at, int(RATE * at) + 500_000, int(waiting_at(at))), RATE)
        found.append((at, flow))
    return found


def first(verdicts: list[tuple[float, Flow]], flow: Flow) -> float | None:
    return next((at for at, found in verdicts if found is flow), None)


def test_a_target_that_takes_everything_flows() -> None:
    assert {flow for _, flow in course(lambda t: 0, 20)} == {Flow.FLOWING}


def test_key_pictures_that_need_half_a_second_are_no_stall() -> None:
    saw = course(lambda t: 150_000 * max(0.0, 0.5 - t % 2) * 2, 30)
    assert first(saw, Flow.STALLED) is None


def test_a_long_way_is_no_stall() -> None:
    """300 ms of media is always on its way, give or take."""
    saw = course(lambda t: RATE * (0.3 + 0.05 * (int(t * 5) % 3)), 30)
    assert {flow for _, flow in saw} == {Flow.FLOWING}


def test_the_burst_at_the_start_is_filling_until_it_is_through() -> None:
    saw = course(lambda t: max(0.0, 500_000 - 300_000 * t), 10)
    assert saw[0][1] is Flow.FILLING
    assert first(saw, Flow.STALLED) is None
    flowing = first(saw, Flow.FLOWING)
    assert flowing == pytest.approx(1.2, abs=0.3)


def test_a_frozen_target_stalls_three_seconds_after_its_window_closed() -> None:
    saw = course(lambda t: max(0.0, RATE * (t - 5)), 20)
    stalled = first(saw, Flow.STALLED)
    assert stalled is not None
    assert 8 <= stalled <= 8.5


def test_a_frozen_target_stalls_even_when_pictures_hardly_change() -> None:
    """Between key pictures the queue grows by little, but nothing of it is taken."""
    meter = FlowMeter()
    handed = 1_000_000
    verdicts = []
    for step in range(30):
        handed += 800
        verdicts.append(meter.sample(Sample(step * STEP, handed, handed - 990_000), RATE))
    assert verdicts[-1] is Flow.STALLED


def test_a_target_at_half_the_rate_is_slow_and_worth_keeping() -> None:
    saw = course(lambda t: RATE * t / 2, 20)
    slow = first(saw, Flow.SLOW)
    assert slow is not None
    assert slow <= 4
    assert first(saw, Flow.STALLED) is None


def test_a_target_at_nine_tenths_of_the_rate_flows_however_far_behind_it_is() -> None:
    """What is too much for it is left out of the queue."""
    saw = course(lambda t: RATE * t / 10, 120)
    assert {flow for _, flow in saw} == {Flow.FLOWING}


def test_a_target_at_nine_tenths_of_the_rate_flows_although_its_start_is_never_through() -> None:
    saw = course(lambda t: 500_000 + RATE * t / 10, 30)
    assert saw[0][1] is Flow.FILLING
    flowing = first(saw, Flow.FLOWING)
    assert flowing is not None
    assert flowing <= 4
    assert {flow for at, flow in saw if at > 4} == {Flow.FLOWING}


def test_what_is_dropped_makes_a_slow_target_no_faster() -> None:
    """The queue falls by two seconds with each group that is left out."""
    meter = FlowMeter()
    verdicts = []
    for step in range(300):
        at = step * STEP
        behind = RATE * at / 2
        dropped = max(0, int((behind - 3 * RATE) // (2 * RATE))) * 2 * RATE
        handed = int(RATE * at) + 500_000 - dropped
        sample = Sample(at, handed, int(behind - dropped), dropped=int(dropped))
        verdicts.append(meter.sample(sample, RATE))
    assert set(verdicts[20:]) == {Flow.SLOW}


def test_a_frozen_target_stays_stalled_while_its_queue_is_cut() -> None:
    meter = FlowMeter()
    verdicts = []
    for step in range(300):
        at = step * STEP
        dropped = max(0, int((RATE * at - 3 * RATE) // (2 * RATE))) * 2 * RATE
        handed = int(RATE * at) - dropped
        verdicts.append(meter.sample(Sample(at, handed, handed, dropped=dropped), RATE))
    assert set(verdicts[20:]) == {Flow.STALLED}


def test_a_slow_target_that_keeps_up_again_is_slow_no_more() -> None:
    """Although it stays far behind."""
    saw = course(lambda t: RATE * min(t, 8) / 2, 20)
    assert first(saw, Flow.SLOW) is not None
    assert {flow for at, flow in saw if at > 16} == {Flow.FLOWING}


def test_a_silent_source_is_no_stall() -> None:
    """Nothing comes, and the last bytes stay unacknowledged: no growth, no verdict."""
    meter = FlowMeter()
    verdicts = {meter.sample(Sample(s * STEP, 9_000, 1_000), RATE) for s in range(100)}
    assert verdicts == {Flow.FLOWING}


def test_a_target_that_thaws_flows_again_when_the_queue_is_through() -> None:
    def waiting(t: float) -> float:
        return RATE * t if t < 6 else max(0.0, RATE * 6 - 400_000 * (t - 6))

    saw = course(waiting, 15)
    assert saw[29][1] is Flow.STALLED
    after = [flow for at, flow in saw if at > 6]
    assert after[0] is Flow.SLOW, "it takes media: the connection is not to be given up any more"
    assert after[-1] is Flow.FLOWING
    assert not {Flow.SLOW, Flow.STALLED} & set(after[after.index(Flow.FLOWING) :])


def thin(reach_at: Callable[[float], float]) -> list[tuple[float, Flow]]:
    """300 kb/s, of which the peer's kernel acknowledges everything at once."""
    meter = FlowMeter()
    rate = 37_500
    found = []
    for step in range(100):
        at = step * STEP
        sample = Sample(at, int(rate * at) + 50_000, 0, reach=int(reach_at(at)))
        found.append((at, meter.sample(sample, rate)))
    return found


def test_a_frozen_target_of_a_thin_stream_shows_in_the_window_it_offers() -> None:
    """Its kernel takes all of it; but acknowledged plus offered bytes stand still."""
    stalled = first(thin(lambda t: 37_500 * min(t, 6) + 500_000), Flow.STALLED)
    assert stalled is not None
    assert 8.5 <= stalled <= 9.5


def test_a_target_that_reads_in_large_pieces_is_no_stall() -> None:
    saw = thin(lambda t: 37_500 * (t - t % 2.5) + 500_000)
    assert first(saw, Flow.STALLED) is None


def test_a_window_that_opens_again_is_flowing_at_once() -> None:
    saw = thin(lambda t: 37_500 * (t if not 5 < t < 12 else 5) + 500_000)
    after = [flow for at, flow in saw if at > 12.5]
    assert set(after) == {Flow.FLOWING}


def test_a_source_that_is_silent_leaves_the_window_where_it_is_and_is_no_stall() -> None:
    meter = FlowMeter()
    verdicts = {meter.sample(Sample(s * STEP, 90_000, 0, reach=600_000), 37_500) for s in range(60)}
    assert verdicts == {Flow.FLOWING}


def test_what_srt_gives_up_all_the_time_is_slow_and_once_is_nothing() -> None:
    for lost_at, want in (
        (lambda t: 20_000 * t, True),
        (lambda t: 20_000.0 if t > 5 else 0.0, False),
    ):
        meter = FlowMeter()
        saw = [
            meter.sample(
                Sample(s * STEP, int(RATE * s * STEP), 0, lost=int(lost_at(s * STEP))), RATE
            )
            for s in range(60)
        ]
        assert (Flow.SLOW in saw) is want
        assert Flow.STALLED not in saw
