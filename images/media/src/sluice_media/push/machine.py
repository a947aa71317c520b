"""The states of a push, as a pure machine: events in, actions and a view out.

The machine uses no socket and no clock: each event comes with its :class:`Moment`, and
:meth:`PushMachine.deadline` returns when :meth:`PushMachine.tick` is due without an event. The
states are those of a Restream's status:

==========  ================================================================================
Idle        nothing to push, or pushing is not allowed (``idle_reason`` is the cause); also while
            the source is interrupted and no connection is open
Connecting  dialling, or the publish is not accepted yet, or the first bytes do not drain yet
Live        accepted, and the send queue drains
Waiting     the source is interrupted; the connection stays open
Stalled     the send queue grows; the connection is given up when the target takes nothing for
            :data:`STALL_LIMIT_SECONDS`
Backoff     the connection was lost; the next try comes soon
Rejected    the target refused, or ended several connections within seconds without a cause; the
            next tries come slowly, and at the start of a session. A target that refuses only
            because the key is in use may still hold our own lost connection: that is Backoff
GaveUp      no success for ``give_up_seconds``; the next try comes at the start of a session
==========  ================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from sluice_media.contract import PushIdleReason, PushState, TargetErrorClass
from sluice_media.push.failures import Failure
from sluice_media.push.retries import Retries, RetryPolicy

STALL_LIMIT_SECONDS = 10.0
_WAITING_FOR_RETRY = frozenset({PushState.BACKOFF, PushState.REJECTED})


@dataclass(slots=True, frozen=True)
class Moment:
    """Time of an event, by both clocks."""

    monotonic: float
    """Monotonic seconds, for durations."""
    utc: datetime
    """Wall clock time, for the status."""


class Flow(Enum):
    """Verdict on a target, measured by :mod:`sluice_media.push.flow`."""

    FILLING = auto()
    """More than a second of media is on its way out."""
    FLOWING = auto()
    """The target keeps up."""
    SLOW = auto()
    """The send queue grows fast, but the target takes media: the connection is worth keeping."""
    STALLED = auto()
    """The send queue grows, and the target takes nothing."""


_GROWING = frozenset({Flow.SLOW, Flow.STALLED})

# ----------------------------------------------------------------------------- events


@dataclass(slots=True, frozen=True)
class Configured:
    """A configuration took effect."""

    retry: RetryPolicy
    obstacle: str | None = None
    """Reason for which nothing may be pushed; None when pushing is allowed."""
    reconnect: bool = False
    """True when the connection must be replaced: its options changed, or a restart was
    requested."""
    keys_changed: bool = False
    """True when a Secret changed. It takes effect at the next connect, which is due now unless a
    connection is open."""


@dataclass(slots=True, frozen=True)
class SourceChanged:
    """The stream's session or its delivery of media began or ended."""

    session: bool
    delivering: bool


@dataclass(slots=True, frozen=True)
class CodecsChecked:
    """The tracks were checked for the target's protocol, because either changed."""

    problem: str | None
    """Sentence on why the protocol cannot carry the tracks, and what to change; None when it
    can."""


@dataclass(slots=True, frozen=True)
class Accepted:
    """The target accepted the publish."""


@dataclass(slots=True, frozen=True)
class FlowMeasured:
    """The verdict on the target changed."""

    flow: Flow


@dataclass(slots=True, frozen=True)
class Ended:
    """The connection is over."""

    failure: Failure | None
    """None when the pusher closed the connection, or the target does not take the codec."""
    codec_problem: str | None = None
    """Sentence on what to change, when the target does not take the codec."""


@dataclass(slots=True, frozen=True)
class Leaving:
    """The pod is terminated while the Restream is active: the next pod continues."""


Event = Configured | SourceChanged | CodecsChecked | Accepted | FlowMeasured | Ended | Leaving

# ----------------------------------------------------------------------------- actions


@dataclass(slots=True, frozen=True)
class Dial:
    """Action: open a connection. :class:`Ended` follows in any case."""


@dataclass(slots=True, frozen=True)
class HangUp:
    """Action: close the connection."""

    clean: bool
    """True to send the queued media first."""
    goodbye: bool = True
    """True to unpublish at a clean end. Without an unpublish the target waits for the publisher to
    come back."""


Action = Dial | HangUp


@dataclass(slots=True, frozen=True)
class View:
    """State of the machine, for the status and the log."""

    state: PushState
    idle_reason: str | None
    message: str | None
    started_at: datetime | None
    """Time at which the present connection became Live."""
    attempts: int
    reconnects: int
    last_failure: Failure | None
    last_failure_at: datetime | None
    retry_at: float | None
    """Monotonic seconds of the next try, in Backoff and Rejected."""


class _Link(Enum):
    NONE = auto()
    DIALLING = auto()
    ACCEPTED = auto()
    CLOSING = auto()


class PushMachine:
    """The states of one Restream's push; the module describes them.

    ``between(low, high)`` draws the jitter of the retries.
    """

    def __init__(self, between: Callable[[float, float], float]) -> None:
        # Facts from the events.
        self._obstacle: str | None = PushIdleReason.WAITING_FOR_STREAM
        self._goodbye = True
        self._session = False
        self._delivering = False
        self._codec_problem: str | None = None
        self._refused_codec: str | None = None
        """Codec problem that the target itself reported."""
        self._flow = Flow.FILLING
        # The connection.
        self._link = _Link.NONE
        self._hang_up = False
        self._stalled_since: float | None = None
        self._live_since: float | None = None
        self._started_at: datetime | None = None
        # The series of failures.
        self._retries = Retries(between)
        self._trouble_since: float | None = None
        self._gave_up = False
        # For the view.
        self._attempts = 0
        self._reconnects = 0
        self._was_live_in_session = False
        self._last_failure: Failure | None = None
        self._last_failure_at: datetime | None = None

    # ------------------------------------------------------------------------- in

    def handle(self, event: Event, now: Moment) -> list[Action]:
        """Process one event; return the actions that follow from it."""
        match event:
            case Configured(retry, obstacle, reconnect, keys_changed):
                self._retries.policy, self._obstacle = retry, obstacle
                self._hang_up |= reconnect
                if reconnect or keys_changed:
                    self._retries.forget_connection()
                    self._forget_failures()
                    self._last_failure = self._last_failure_at = None
            case SourceChanged(session, delivering):
                if session and not self._session:
                    self._was_live_in_session = False
                    self._forget_failures()
                self._session, self._delivering = session, delivering
            case CodecsChecked(problem):
                self._codec_problem, self._refused_codec = problem, None
            case Accepted():
                if self._link is _Link.DIALLING:
                    self._link = _Link.ACCEPTED
            case FlowMeasured(flow):
                self._measured(flow, now)
            case Leaving():
                self._obstacle, self._goodbye = "Terminating", False
            case Ended(failure, codec_problem):
                self._refused_codec = codec_problem or self._refused_codec
                self._ended(failure, now)
        return self._decide(now)

    def tick(self, now: Moment) -> list[Action]:
        """Return the actions that are due at ``now``."""
        return self._decide(now)

    def deadline(self) -> float | None:
        """Return the monotonic time at which :meth:`tick` is due; None when only events matter."""
        due = []
        if self._link is _Link.NONE and self._may_dial and self._retries.due is not None:
            due.append(self._retries.due)
        if self._stalled_since is not None:
            due.append(self._stalled_since + STALL_LIMIT_SECONDS)
        if self._trouble_since is not None and self._retries.policy.give_up_seconds > 0:
            due.append(self._trouble_since + self._retries.policy.give_up_seconds)
        return min(due, default=None)

    # ------------------------------------------------------------------------- out

    @property
    def state(self) -> PushState:
        """Present state, derived from the facts."""
        if not self._is_wanted:
            return PushState.GAVE_UP if self._gave_up and self._is_possible else PushState.IDLE
        if self._link is _Link.ACCEPTED:
            if not self._delivering:
                return PushState.WAITING
            if self._flow in _GROWING:
                return PushState.STALLED
            # A Live connection stays Live with a full second in the queue (a large picture, a slow
            # moment). Only a growing queue changes its state.
            return PushState.LIVE if self._live_since is not None else PushState.CONNECTING
        if self._link is not _Link.DIALLING and self._retries.failed is not None:
            return PushState.REJECTED if self._retries.rejected else PushState.BACKOFF
        dialling = self._link is _Link.DIALLING
        return PushState.CONNECTING if dialling or self._delivering else PushState.IDLE

    def view(self) -> View:
        """Return the present view."""
        state = self.state
        return View(
            state=state,
            idle_reason=self._reason_to_idle if state is PushState.IDLE else None,
            message=self._mismatch
            if self._obstacle_to_push == PushIdleReason.CODEC_MISMATCH
            else None,
            started_at=self._started_at,
            attempts=self._attempts,
            reconnects=self._reconnects,
            last_failure=self._last_failure,
            last_failure_at=self._last_failure_at,
            retry_at=self._retries.due if state in _WAITING_FOR_RETRY else None,
        )

    @property
    def _reason_to_idle(self) -> str:
        return self._obstacle_to_push or PushIdleReason.WAITING_FOR_STREAM

    @property
    def _obstacle_to_push(self) -> str | None:
        if self._obstacle is not None:
            return self._obstacle
        if not self._session:
            return PushIdleReason.WAITING_FOR_STREAM
        return PushIdleReason.CODEC_MISMATCH if self._mismatch is not None else None

    @property
    def _mismatch(self) -> str | None:
        return self._codec_problem or self._refused_codec

    @property
    def _is_possible(self) -> bool:
        return self._obstacle_to_push is None

    @property
    def _is_wanted(self) -> bool:
        return self._is_possible and not self._gave_up

    @property
    def _may_dial(self) -> bool:
        # A publish without media would only time out at the target.
        return self._is_wanted and self._delivering

    # ------------------------------------------------------------------------- inside

    def _decide(self, now: Moment) -> list[Action]:
        actions: list[Action] = []
        self._watch_for_giving_up(now)
        if self._link in (_Link.DIALLING, _Link.ACCEPTED):
            if not self._is_wanted or self._hang_up:
                self._link = _Link.CLOSING
                self._connection_is_over()
                actions.append(HangUp(clean=True, goodbye=self._goodbye))
            elif (
                self._stalled_since is not None
                and now.monotonic >= self._stalled_since + STALL_LIMIT_SECONDS
            ):
                self._fail(Failure(TargetErrorClass.TIMEOUT, "the target stopped taking data"), now)
                self._link = _Link.CLOSING
                actions.append(HangUp(clean=False))
        if self._link is _Link.NONE:
            self._hang_up = False
            due = self._retries.due
            if self._may_dial and (due is None or now.monotonic >= due):
                self._link = _Link.DIALLING
                self._flow = Flow.FILLING
                self._retries.begin()
                self._attempts += 1
                actions.append(Dial())
        return actions

    def _watch_for_giving_up(self, now: Moment) -> None:
        if not self._may_dial or self.state is PushState.LIVE:
            self._trouble_since = None
            return
        if self._trouble_since is None:
            self._trouble_since = now.monotonic
        limit = self._retries.policy.give_up_seconds
        if limit > 0 and now.monotonic >= self._trouble_since + limit:
            self._gave_up = True
            self._trouble_since = None

    def _measured(self, flow: Flow, now: Moment) -> None:
        if self._link is not _Link.ACCEPTED:
            return
        self._flow = flow
        if flow is not Flow.STALLED:
            self._stalled_since = None
        elif self._stalled_since is None:
            self._stalled_since = now.monotonic
        if flow is Flow.FLOWING and self._live_since is None:
            self._live_since = now.monotonic
            self._started_at = now.utc
            self._reconnects += self._was_live_in_session
            self._was_live_in_session = True

    def _ended(self, failure: Failure | None, now: Moment) -> None:
        was_closing = self._link is _Link.CLOSING
        self._link = _Link.NONE
        # A connection that the pusher was closing anyway has not failed.
        if failure is not None and not was_closing:
            self._fail(failure, now)
        else:
            self._connection_is_over()

    def _fail(self, failure: Failure, now: Moment) -> None:
        self._retries.fail(failure, now.monotonic, self._live_since)
        self._connection_is_over()
        self._last_failure = failure
        self._last_failure_at = now.utc

    def _forget_failures(self) -> None:
        """End the series of failures: the next try is due now."""
        self._retries.reset()
        self._gave_up = False
        self._trouble_since = None
        self._refused_codec = None

    def _connection_is_over(self) -> None:
        self._stalled_since = None
        self._live_since = None
        self._started_at = None
        self._flow = Flow.FILLING
