"""The states of a push, row by row of the Restream table of the life cycle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.contract import PushState, TargetErrorClass
from sluice_media.push.failures import Failure
from sluice_media.push.machine import (
    Accepted,
    CodecsChecked,
    Configured,
    Dial,
    Ended,
    Event,
    Flow,
    FlowMeasured,
    HangUp,
    Leaving,
)
from sluice_media.push.retries import RetryPolicy
from tests.unit.push.machine_rig import BAD_NAME, INTERRUPTED, ON_AIR, OVER, REFUSED, RESET, Push


def test_stream_not_on_air_is_idle(push: Push) -> None:
    assert (push.state(), push.idle_reason) == (PushState.IDLE, "WaitingForStream")
    assert not push.actions


def test_a_pod_that_goes_hands_its_push_over_without_a_goodbye(live: Push) -> None:
    assert live.tell(Leaving()) == [HangUp(clean=True, goodbye=False)]
    live.tell(Ended(None))
    assert not live.after(60), "the next pod dials"


def test_what_was_switched_off_before_the_pod_goes_has_ended_with_a_goodbye(live: Push) -> None:
    assert live.tell(Configured(RetryPolicy(), "Disabled")) == [HangUp(clean=True, goodbye=True)]
    live.tell(Ended(None))
    assert live.tell(Leaving()) == []


@pytest.mark.parametrize("obstacle", ["Disabled", "StreamNotFound", "SecretKeyMissing"])
def test_an_obstacle_is_idle_by_its_name_and_ends_a_running_push(live: Push, obstacle: str) -> None:
    assert live.tell(Configured(RetryPolicy(), obstacle)) == [HangUp(clean=True)]
    assert (live.state(), live.idle_reason) == (PushState.IDLE, obstacle)
    live.tell(Ended(None))
    assert live.tell(Configured(RetryPolicy(), reconnect=True)) == [Dial()]


def test_dialling_is_connecting_until_bytes_drain(push: Push) -> None:
    assert push.tell(ON_AIR) == [Dial()]
    assert push.state() is PushState.CONNECTING
    push.tell(Accepted())
    assert push.state() is PushState.CONNECTING
    push.tell(FlowMeasured(Flow.FILLING))
    assert push.state() is PushState.CONNECTING
    push.tell(FlowMeasured(Flow.FLOWING))
    assert push.state() is PushState.LIVE
    assert push.machine.view().started_at == push.moment.utc


def test_a_full_moment_does_not_end_live(live: Push) -> None:
    live.tell(FlowMeasured(Flow.FILLING))
    assert live.state() is PushState.LIVE


def test_an_interrupted_source_holds_the_connection(live: Push) -> None:
    assert live.tell(INTERRUPTED) == []
    assert live.state() is PushState.WAITING
    live.after(600)
    assert live.tell(ON_AIR) == []
    assert live.state() is PushState.LIVE
    view = live.machine.view()
    assert (view.attempts, view.reconnects) == (1, 0)


def test_the_end_of_the_session_disconnects_in_order(live: Push) -> None:
    assert live.tell(INTERRUPTED, OVER) == [HangUp(clean=True)]
    assert (live.state(), live.idle_reason) == (PushState.IDLE, "WaitingForStream")
    live.tell(Ended(None))
    view = live.machine.view()
    assert (view.started_at, view.last_failure) == (None, None)


def test_a_session_that_begins_while_the_last_one_is_flushed_is_dialled_after_it(
    live: Push,
) -> None:
    live.tell(OVER)
    assert live.tell(ON_AIR) == []
    assert live.state() is PushState.CONNECTING
    assert live.tell(Ended(None)) == [Dial()]


def test_a_growing_queue_is_stalled_and_then_given_up(live: Push) -> None:
    live.tell(FlowMeasured(Flow.STALLED))
    assert live.state() is PushState.STALLED
    assert live.after(9.9) == []
    assert live.after(0.1) == [HangUp(clean=False)]
    assert live.state() is PushState.BACKOFF
    failure = live.machine.view().last_failure
    assert failure is not None
    assert failure.class_ is TargetErrorClass.TIMEOUT
    live.tell(Ended(None))
    assert live.state() is PushState.BACKOFF
    assert live.after(2) == [Dial()]


def test_a_slow_target_is_stalled_and_keeps_its_connection(live: Push) -> None:
    live.tell(FlowMeasured(Flow.SLOW))
    assert live.state() is PushState.STALLED
    assert live.after(3_600) == []
    live.tell(FlowMeasured(Flow.STALLED))
    live.after(9)
    live.tell(FlowMeasured(Flow.SLOW))
    assert live.after(3_600) == []
    live.tell(FlowMeasured(Flow.FLOWING))
    assert live.state() is PushState.LIVE


def test_a_stalled_target_that_takes_data_again_is_live(live: Push) -> None:
    live.tell(FlowMeasured(Flow.STALLED))
    live.after(5)
    live.tell(FlowMeasured(Flow.FILLING), FlowMeasured(Flow.FLOWING))
    assert live.state() is PushState.LIVE
    assert live.after(60) == []


def test_lost_is_backoff_with_its_cause(live: Push) -> None:
    live.tell(Ended(Failure(TargetErrorClass.RESET, "reset")))
    view = live.machine.view()
    assert (view.state, view.started_at) == (PushState.BACKOFF, None)
    assert view.last_failure == Failure(TargetErrorClass.RESET, "reset")
    assert view.last_failure_at == live.moment.utc
    assert live.after(2) == [Dial()]
    live.tell(Accepted(), FlowMeasured(Flow.FLOWING))
    view = live.machine.view()
    assert (view.state, view.attempts, view.reconnects) == (PushState.LIVE, 2, 1)
    assert view.last_failure is not None  # stays to be read


def test_nothing_is_dialled_without_media(push: Push) -> None:
    push.tell(INTERRUPTED)
    assert (push.state(), push.actions) == (PushState.IDLE, [])
    push.tell(ON_AIR, INTERRUPTED, REFUSED)
    assert push.state() is PushState.BACKOFF
    assert push.after(60) == []
    assert push.tell(ON_AIR) == [Dial()]


def test_a_codec_that_cannot_be_carried_is_idle_with_what_to_change(live: Push) -> None:
    assert live.tell(CodecsChecked("set the encoder to H.264")) == [HangUp(clean=True)]
    view = live.machine.view()
    assert (view.state, view.idle_reason) == (PushState.IDLE, "CodecMismatch")
    assert view.message == "set the encoder to H.264"
    live.tell(Ended(None))
    assert live.tell(CodecsChecked(None)) == [Dial()]
    assert live.machine.view().message is None


def test_waiting_is_a_connection_that_is_held(push: Push) -> None:
    """Without one it is what it is: dialling, waiting for a retry, or nothing."""
    push.tell(INTERRUPTED)
    assert (push.state(), push.idle_reason) == (PushState.IDLE, "WaitingForStream")
    assert push.tell(ON_AIR) == [Dial()]
    push.tell(INTERRUPTED)
    assert push.state() is PushState.CONNECTING
    push.tell(Accepted())
    assert push.state() is PushState.WAITING
    push.tell(RESET)
    assert push.state() is PushState.BACKOFF
    push.tell(ON_AIR)
    push.after(2)
    push.tell(Accepted(), INTERRUPTED)
    assert push.state() is PushState.WAITING
    # Dialled anew: the connection is being closed, and the next one waits for media.
    assert push.tell(Configured(RetryPolicy(), reconnect=True)) == [HangUp(clean=True)]
    assert (push.state(), push.idle_reason) == (PushState.IDLE, "WaitingForStream")
    push.tell(Ended(None))
    assert push.state() is PushState.IDLE


def test_time_without_media_does_not_count_towards_giving_up() -> None:
    push = Push()
    push.tell(Configured(RetryPolicy(give_up_seconds=60)), ON_AIR, Accepted())
    push.after(30)
    push.tell(INTERRUPTED)
    push.after(300)
    push.tell(ON_AIR)
    push.after(59)
    assert push.state() is not PushState.GAVE_UP


def test_a_new_target_is_dialled_anew(live: Push) -> None:
    assert live.tell(Configured(RetryPolicy(), reconnect=True)) == [HangUp(clean=True)]
    assert live.tell(Ended(None)) == [Dial()]


def test_other_configuration_leaves_a_running_push_alone(live: Push) -> None:
    assert live.tell(Configured(RetryPolicy(5, 50))) == []
    assert live.state() is PushState.LIVE


EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.sampled_from([ON_AIR, INTERRUPTED, OVER, Accepted(), REFUSED, BAD_NAME, Ended(None)]),
    st.sampled_from([FlowMeasured(flow) for flow in Flow]),
    st.sampled_from([CodecsChecked(None), CodecsChecked("HEVC")]),
    st.sampled_from(
        [
            Configured(RetryPolicy(1, 30, 60)),
            Configured(RetryPolicy(), "Disabled"),
            Configured(RetryPolicy(3, 1), reconnect=True),
        ]
    ),
)


@given(st.lists(st.tuples(EVENTS, st.floats(0, 100)), max_size=40))
def test_there_is_never_a_second_connection(story: list[tuple[Event, float]]) -> None:
    """Whatever happens: Dial only without a connection, HangUp only with one, and no deadline
    stays in the past."""
    push = Push()
    open_ = False
    for event, seconds in story:
        if isinstance(event, Ended) and not open_:
            continue
        if isinstance(event, Ended):
            open_ = False
        for action in [*push.tell(event), *push.after(seconds)]:
            assert open_ is isinstance(action, HangUp)
            open_ = True
        push.machine.view()
        due = push.machine.deadline()
        assert due is None or due > push.now


def test_a_codec_that_the_target_refuses_is_idle_until_tracks_or_target_are_others(
    push: Push,
) -> None:
    push.tell(ON_AIR, Ended(None, "set the encoder to H.264"))
    assert (push.state(), push.idle_reason) == (PushState.IDLE, "CodecMismatch")
    assert push.machine.view().message == "set the encoder to H.264"
    assert push.machine.view().last_failure is None
    assert push.after(3_600) == []
    assert push.tell(CodecsChecked(None)) == [Dial()]
    push.tell(Ended(None, "again"))
    assert push.tell(OVER, ON_AIR) == [Dial()]
    push.tell(Ended(None, "again"))
    assert push.tell(Configured(RetryPolicy(), reconnect=True)) == [Dial()]


def test_a_renewed_secret_waits_for_the_next_connect_and_makes_it_due(live: Push) -> None:
    assert live.tell(Configured(RetryPolicy(), keys_changed=True)) == []
    assert live.state() is PushState.LIVE
    live.tell(BAD_NAME)
    assert live.state() is PushState.REJECTED
    assert live.tell(Configured(RetryPolicy(), keys_changed=True)) == [Dial()]


@pytest.mark.parametrize(
    "change",
    [Configured(RetryPolicy(), reconnect=True), Configured(RetryPolicy(), keys_changed=True)],
)
def test_what_a_former_target_said_is_forgotten_when_the_user_changes_it(
    push: Push, change: Configured
) -> None:
    push.tell(ON_AIR, BAD_NAME, OVER)
    push.tell(Configured(RetryPolicy(give_up_seconds=60)))
    assert push.machine.view().last_failure is not None
    push.tell(change)
    view = push.machine.view()
    assert (view.last_failure, view.last_failure_at) == (None, None)


def test_a_forbidden_address_is_asked_for_slowly(push: Push) -> None:
    push.tell(ON_AIR, Ended(Failure(TargetErrorClass.FORBIDDEN, "not allowed")))
    assert push.state() is PushState.REJECTED
    assert push.after(59) == []
