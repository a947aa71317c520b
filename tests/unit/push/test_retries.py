"""When a target that failed is dialled again, and when it counts as one that refuses."""

from __future__ import annotations

import pytest

from sluice_media.contract import PushState, TargetErrorClass
from sluice_media.push.failures import Failure
from sluice_media.push.machine import (
    Accepted,
    Configured,
    Dial,
    Ended,
    Event,
    Flow,
    FlowMeasured,
    HangUp,
    PushMachine,
)
from sluice_media.push.retries import RetryPolicy
from tests.unit.push.machine_rig import (
    BAD_NAME,
    CLOSED,
    INTERRUPTED,
    ON_AIR,
    OVER,
    REFUSED,
    RESET,
    Push,
)


def waits(push: Push, event: Event, count: int) -> list[float]:
    found = []
    for _ in range(count):
        push.tell(event)
        due = push.machine.deadline()
        assert due is not None
        found.append(due - push.now)
        assert push.after(due - push.now) == [Dial()]
    return found


def test_the_view_says_when_the_next_try_is_due(push: Push) -> None:
    push.tell(ON_AIR)
    assert push.machine.view().retry_at is None
    push.tell(REFUSED)
    assert push.machine.view().retry_at == push.now + 2
    push.tell(OVER)
    assert push.machine.view().retry_at is None


def test_waits_double_up_to_the_maximum(push: Push) -> None:
    push.tell(ON_AIR)
    assert waits(push, REFUSED, 7) == [2, 4, 8, 16, 30, 30, 30]


def test_waits_lie_between_the_minimum_and_the_doubled_minimum() -> None:
    drawn: list[tuple[float, float]] = []

    def between(low: float, high: float) -> float:
        drawn.append((low, high))
        return high

    push = Push(machine=PushMachine(between))
    push.tell(Configured(RetryPolicy(0.5, 3)), ON_AIR)
    waits(push, REFUSED, 4)
    assert drawn == [(0.5, 1.0), (0.5, 2.0), (0.5, 3), (0.5, 3)]


def test_ten_seconds_of_live_start_the_series_anew(push: Push) -> None:
    push.tell(ON_AIR)
    waits(push, REFUSED, 3)
    push.tell(Accepted(), FlowMeasured(Flow.FLOWING))
    push.after(9)
    assert waits(push, REFUSED, 1) == [16]
    push.tell(Accepted(), FlowMeasured(Flow.FLOWING))
    push.after(10)
    assert waits(push, REFUSED, 1) == [2]


def test_a_no_is_rejected_and_tried_again_slowly(push: Push) -> None:
    push.tell(ON_AIR)
    assert waits(push, BAD_NAME, 5) == [120, 240, 480, 600, 600]
    push.tell(BAD_NAME)
    assert push.state() is PushState.REJECTED


def test_a_key_that_is_in_use_just_after_the_connection_broke_may_be_in_use_by_us(
    live: Push,
) -> None:
    live.after(20)
    live.tell(Ended(Failure(TargetErrorClass.RESET, "reset")))
    assert waits(live, BAD_NAME, 4) == [4, 8, 16, 30]
    live.tell(BAD_NAME)
    assert live.state() is PushState.BACKOFF
    live.after(180)
    assert waits(live, BAD_NAME, 2) == [120, 240]
    live.tell(BAD_NAME)
    assert live.state() is PushState.REJECTED


@pytest.mark.parametrize(
    "said",
    [
        TargetErrorClass.UNAUTHORIZED,
        TargetErrorClass.TLS,
        TargetErrorClass.FORBIDDEN,
        TargetErrorClass.UNSUPPORTED,
    ],
)
def test_any_other_no_is_one_although_the_target_had_us_a_moment_ago(
    live: Push, said: TargetErrorClass
) -> None:
    live.tell(Ended(Failure(TargetErrorClass.RESET, "reset")))
    live.after(2)
    live.tell(Ended(Failure(said, "no")))
    assert live.state() is PushState.REJECTED


def test_another_key_that_is_refused_is_rejected_although_the_last_one_was_live(
    live: Push,
) -> None:
    live.tell(Ended(Failure(TargetErrorClass.RESET, "reset")))
    assert live.tell(Configured(RetryPolicy(1, 30), keys_changed=True)) == [Dial()]
    live.tell(BAD_NAME)
    assert live.state() is PushState.REJECTED


@pytest.mark.parametrize("event", [CLOSED, RESET])
def test_a_target_that_closes_before_it_accepted_is_taken_to_refuse(
    push: Push, event: Event
) -> None:
    push.tell(ON_AIR)
    assert waits(push, event, 7) == [2, 4, 8, 120, 240, 480, 600]
    push.tell(event)
    assert push.state() is PushState.REJECTED


def test_a_target_that_closes_within_seconds_is_taken_to_refuse(push: Push) -> None:
    push.tell(ON_AIR)
    found = []
    for _ in range(6):
        push.tell(Accepted(), FlowMeasured(Flow.FLOWING))
        push.after(9)
        found += waits(push, CLOSED, 1)
    assert found == [2, 4, 8, 120, 240, 480]


def test_connections_that_last_are_no_refusal_however_many_end(push: Push) -> None:
    push.tell(ON_AIR)
    for _ in range(20):
        push.tell(Accepted(), FlowMeasured(Flow.FLOWING))
        push.after(10)
        assert waits(push, CLOSED, 1) == [2]


def test_a_target_that_is_down_in_between_is_no_refusal(push: Push) -> None:
    push.tell(ON_AIR)
    waits(push, CLOSED, 3)
    waits(push, REFUSED, 1)
    assert waits(push, CLOSED, 3) == [30, 30, 30]
    push.tell(CLOSED)
    assert push.state() is PushState.REJECTED


def test_a_target_that_may_still_hold_our_lost_connection_may_close_the_next_ones(
    live: Push,
) -> None:
    live.after(20)
    live.tell(RESET)
    assert max(waits(live, CLOSED, 6)) == 30
    live.after(180)
    assert max(waits(live, CLOSED, 3)) == 30
    assert waits(live, CLOSED, 1) == [120]


@pytest.mark.parametrize("event", [BAD_NAME, REFUSED, CLOSED])
def test_each_session_is_tried_at_once(push: Push, event: Event) -> None:
    push.tell(ON_AIR, event)
    push.tell(OVER)
    assert push.state() is PushState.IDLE
    assert push.tell(ON_AIR) == [Dial()]


def test_an_interruption_and_return_is_no_new_session_for_a_rejected_target(push: Push) -> None:
    push.tell(ON_AIR, BAD_NAME, INTERRUPTED)
    assert push.state() is PushState.REJECTED
    assert push.tell(ON_AIR) == []


def test_no_success_for_so_long_gives_up() -> None:
    push = Push()
    push.tell(Configured(RetryPolicy(1, 2, give_up_seconds=60)), ON_AIR)
    for _ in range(100):
        push.tell(REFUSED)
        push.after(2)
    assert push.state() is PushState.GAVE_UP
    assert push.machine.view().attempts == pytest.approx(30, abs=2)
    assert push.machine.deadline() is None
    push.tell(OVER)
    assert push.tell(ON_AIR) == [Dial()]


def test_giving_up_hangs_up_on_a_target_that_never_takes_anything() -> None:
    push = Push()
    push.tell(Configured(RetryPolicy(give_up_seconds=20)), ON_AIR, Accepted())
    assert push.after(20) == [HangUp(clean=True)]
    push.tell(Ended(None))
    assert push.state() is PushState.GAVE_UP
