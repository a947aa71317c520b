"""Whose turn it is, when to give one up, and which one stands by: a pure machine.

In: events with the monotonic time at which they happened, and :meth:`PullMachine.tick` when
:meth:`PullMachine.deadline` has come. Out: commands. It knows neither URIs nor sockets: a source
is any value that can be compared, a child is a number.

A *try* is one child for one source. It is over when the source ends, when it sent no byte for
``stall_seconds``, or when it has not delivered for 10 s. The next source follows at once; only a
full circle is followed by a wait. A try that delivered for 10 s is *proven* and begins the count
anew.

Beside the one on air there is at most one more: with ``warm`` always, without it from the moment
that the one on air is suspected to have stalled. Whichever it is, it takes over as soon as it
delivers and the other is silent; a suspect that sends again is suspected no more.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from sluice_media.pull.events import (
    Arrived,
    Command,
    Configured,
    DeliveryChanged,
    Ended,
    Event,
    Plan,
    Promote,
    Start,
    Stop,
    View,
)
from sluice_media.pull.failures import Outcome, PullFailure
from sluice_media.pull.waits import MIN_RETRY_SECONDS, Waits

KEYFRAME_SECONDS = 10.0
PROVEN_SECONDS = 10.0
SUSPECT_SHARE = 1 / 3
"""Of ``stall_seconds``: after so much silence the next source is dialled. Measured with 3 s: on
air again 2 s after the last byte instead of 4."""


@dataclass(slots=True)
class _Try:
    child: int
    index: int
    source: Hashable
    not_delivering_since: float | None
    arrived_at: float | None = None
    delivering_since: float | None = None
    delivered: bool = False


_SWITCHED = PullFailure(Outcome.STOPPED, "Another configuration, or nothing more to pull.")


class PullMachine:
    """See the module."""

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._children = 0
        self._main: _Try | None = None
        self._standby: _Try | None = None
        self._next = 0
        self._due = 0.0
        self._tries = 0
        self._circle_began_at = 0.0
        self._circle_delivered = False
        self._waits = Waits()
        self._standby_next = 0
        self._standby_due = 0.0
        self._standby_tries = 0
        self._standby_waits = Waits()
        self._delivered_at = 0.0
        self._inactive = False
        self._failure: tuple[int, PullFailure] | None = None
        self._commands: list[Command] = []

    # ------------------------------------------------------------------------- in

    def handle(self, event: Event, now: float) -> list[Command]:
        match event:
            case Configured(plan):
                self._configure(plan, now)
            case Arrived(child):
                if (found := self._find(child)) is not None:
                    found.arrived_at = now
                    if found is self._main:
                        self._clear_suspicion(now)
            case DeliveryChanged(child, delivers):
                if (found := self._find(child)) is not None:
                    self._delivery(found, delivers, now)
            case Ended(child, failure):
                if (found := self._find(child)) is not None:
                    self._over(found, failure, now)
        return self.tick(now)

    def tick(self, now: float) -> list[Command]:
        self._note_delivery(now)
        self._watch_inactivity(now)
        if self._plan is not None and self._plan.sources and not self._inactive:
            self._watch(self._plan, now)
            self._take_turns(self._plan, now)
            self._stand_by(self._plan, now)
        commands, self._commands = self._commands, []
        return commands

    def deadline(self) -> float | None:
        """The time at which :meth:`tick` is due; None when only an event can matter."""
        plan = self._plan
        if plan is None or not plan.sources or self._inactive:
            return None
        tries = (self._main, self._standby)
        due = [self._limit(found, plan) for found in tries if found is not None]
        if self._main is None:
            due.append(self._due)
        elif (wanted := self._standby_wanted_at(plan)) is not None:
            due.append(wanted)
        if (taken := self._takeover_at(plan)) is not None:
            due.append(taken)
        if plan.inactivity_seconds > 0 and not self._any_delivers:
            due.append(self._delivered_at + plan.inactivity_seconds)
        return min(due)

    # ------------------------------------------------------------------------- out

    def view(self) -> View:
        main, standby = self._main, self._standby
        return View(
            index=main.index if main else None,
            delivers=main is not None and main.delivering_since is not None,
            standby=standby.index if standby else None,
            inactive=self._inactive,
            failure=self._failure,
        )

    # ------------------------------------------------------------------------- configuration

    def _configure(self, plan: Plan | None, now: float) -> None:
        before, self._plan = self._plan, plan
        if plan is None or not plan.sources:
            self._stop_all()
            self._inactive = False
            self._failure = None
            return
        asked_before = before.asked if before is not None and before.sources else None
        if plan.asked != asked_before:
            if self._inactive or asked_before is None:
                self._begin_anew(now)
                self._delivered_at = now
            self._inactive = False
        if plan.given_up and not self._any_delivers:
            self._inactive = True
            self._stop_all()
        self._next %= len(plan.sources)
        if before is None or before.sources == plan.sources:
            if not plan.warm:
                self._drop_standby()
            return
        self._begin_anew(now)
        self._failure = None
        if self._main is not None and not _moved(self._main, plan.sources):
            self._next = self._main.index % len(plan.sources)
            self._stop(self._main, _SWITCHED)
        self._next %= len(plan.sources)
        standby = self._standby
        if standby is not None and (
            not plan.warm
            or not _moved(standby, plan.sources)
            or (self._main is not None and self._main.index == standby.index)
        ):
            self._drop_standby()

    def _begin_anew(self, now: float) -> None:
        self._tries = self._standby_tries = 0
        self._due = self._standby_due = self._circle_began_at = now
        self._circle_delivered = False
        self._waits.reset()
        self._standby_waits.reset()

    # ------------------------------------------------------------------------- tries

    def _delivery(self, found: _Try, delivers: bool, now: float) -> None:
        if delivers == (found.delivering_since is not None):
            return
        if delivers:
            found.delivering_since, found.not_delivering_since = now, None
            found.arrived_at = found.arrived_at or now
            found.delivered = True
        else:
            self._credit(found, now)
            found.delivering_since, found.not_delivering_since = None, now

    def _credit(self, found: _Try, now: float) -> bool:
        """Whether the try is proven by its present delivery; then older failures are forgiven."""
        since = found.delivering_since
        if since is None or now - since < PROVEN_SECONDS:
            return False
        if found is self._main:
            self._waits.reset()
            self._tries = 0
            self._circle_began_at, self._circle_delivered = now, False
        else:
            self._standby_waits.reset()
            self._standby_tries = 0
        return True

    def _over(self, found: _Try, failure: PullFailure, now: float) -> None:
        """A try ended; what follows is decided by :meth:`_take_turns` and :meth:`_stand_by`."""
        assert self._plan is not None
        count = len(self._plan.sources)
        self._failure = (found.index, failure)
        proven = self._credit(found, now)
        if found is self._standby:
            self._standby = None
            self._standby_next = found.index + 1
            self._standby_tries += not proven
            if self._standby_tries >= count - 1:
                self._standby_tries = 0
                self._standby_due = now + self._standby_waits.next(self._plan.retry_seconds)
            return
        self._main = None
        self._next = (found.index + 1) % count
        self._due = now
        self._circle_delivered |= found.delivered and not proven
        self._tries += not proven
        if self._tries >= count:
            if self._circle_delivered:
                # Not fruitless, but a source that ends at once must not be dialled in a tight loop.
                least = max(self._plan.retry_seconds, MIN_RETRY_SECONDS)
                self._due = max(now, self._circle_began_at + least)
            else:
                self._due = now + self._waits.next(self._plan.retry_seconds)
            self._tries = 0
            self._circle_began_at, self._circle_delivered = self._due, False

    def _watch(self, plan: Plan, now: float) -> None:
        for found in (self._main, self._standby):
            if found is None or now < self._limit(found, plan):
                continue
            self._give_up(found, _given_up(found, plan, now), now)
        taken = self._takeover_at(plan)
        if self._main is not None and taken is not None and now >= taken:
            self._give_up(
                self._main,
                PullFailure(Outcome.STALLED, "The source fell silent, and the next one took over."),
                now,
            )

    def _limit(self, found: _Try, plan: Plan) -> float:
        """When the try is given up unless something comes."""
        limits = []
        if found.arrived_at is not None:
            limits.append(found.arrived_at + plan.stall_seconds)
        if found.not_delivering_since is not None:
            limits.append(found.not_delivering_since + KEYFRAME_SECONDS)
        return min(limits)

    def _takeover_at(self, plan: Plan) -> float | None:
        """When a standby that delivers takes over from a silent source."""
        main, standby = self._main, self._standby
        if main is None or standby is None or standby.delivering_since is None:
            return None
        if main.delivering_since is None:
            return 0.0
        return (main.arrived_at or main.delivering_since) + plan.takeover_seconds

    def _give_up(self, found: _Try, failure: PullFailure, now: float) -> None:
        self._commands.append(Stop(found.child, failure))
        self._over(found, failure, now)

    # ------------------------------------------------------------------------- turns

    def _take_turns(self, plan: Plan, now: float) -> None:
        if self._main is not None:
            return
        if self._standby is not None:
            self._main, self._standby = self._standby, None
            self._commands.append(Promote(self._main.child))
            self._standby_tries = 0
            self._standby_next = self._main.index + 1
        elif now >= self._due:
            self._main = self._start(plan, self._next, now, standby=False)
            self._standby_next = self._main.index + 1

    def _stand_by(self, plan: Plan, now: float) -> None:
        wanted = self._standby_wanted_at(plan)
        if self._main is None or wanted is None or now < wanted:
            return
        index = self._standby_next % len(plan.sources)
        if index == self._main.index:
            index = (index + 1) % len(plan.sources)
        self._standby = self._start(plan, index, now, standby=True)

    def _standby_wanted_at(self, plan: Plan) -> float | None:
        """When another one is dialled beside the one on air."""
        main = self._main
        if len(plan.sources) < 2 or self._standby is not None or main is None:
            return None
        if plan.warm:
            return self._standby_due if main.delivering_since is not None else None
        if main.arrived_at is None or not main.delivered:
            return None
        silence = max(plan.takeover_seconds, plan.stall_seconds * SUSPECT_SHARE)
        return max(main.arrived_at + silence, self._standby_due)

    def _clear_suspicion(self, now: float) -> None:
        """The one on air sends again: nobody needs to stand by, unless that is always wanted."""
        if self._plan is not None and not self._plan.warm and self._standby is not None:
            self._drop_standby()
            # A source that pauses all the time does not have the next one dialled all the time.
            self._standby_due = now + self._standby_waits.next(self._plan.retry_seconds)

    def _start(self, plan: Plan, index: int, now: float, *, standby: bool) -> _Try:
        self._children += 1
        self._commands.append(Start(self._children, index, standby))
        return _Try(self._children, index, plan.sources[index], not_delivering_since=now)

    # ------------------------------------------------------------------------- inactivity

    @property
    def _any_delivers(self) -> bool:
        tries = (self._main, self._standby)
        return any(t is not None and t.delivering_since is not None for t in tries)

    def _note_delivery(self, now: float) -> None:
        if self._any_delivers:
            self._delivered_at = now

    def _watch_inactivity(self, now: float) -> None:
        plan = self._plan
        if plan is None or not plan.sources or plan.inactivity_seconds <= 0:
            return
        if not self._inactive and now >= self._delivered_at + plan.inactivity_seconds:
            self._inactive = True
            self._stop_all()

    # ------------------------------------------------------------------------- children

    def _find(self, child: int) -> _Try | None:
        for found in (self._main, self._standby):
            if found is not None and found.child == child:
                return found
        return None

    def _stop(self, found: _Try, failure: PullFailure) -> None:
        self._commands.append(Stop(found.child, failure))
        if found is self._main:
            self._main = None
        else:
            self._standby = None

    def _drop_standby(self) -> None:
        if self._standby is not None:
            self._stop(self._standby, _SWITCHED)

    def _stop_all(self) -> None:
        self._drop_standby()
        if self._main is not None:
            self._stop(self._main, _SWITCHED)


def _moved(found: _Try, sources: tuple[Hashable, ...]) -> bool:
    """Whether the source is still there; then the try has its index."""
    if found.index < len(sources) and sources[found.index] == found.source:
        return True
    if found.source not in sources:
        return False
    found.index = sources.index(found.source)
    return True


def _given_up(found: _Try, plan: Plan, now: float) -> PullFailure:
    if found.arrived_at is None:
        return PullFailure(
            Outcome.TIMEOUT, f"The source sent no media within {KEYFRAME_SECONDS:g} s."
        )
    if now >= found.arrived_at + plan.stall_seconds:
        return PullFailure(
            Outcome.STALLED, f"The source has sent nothing for {plan.stall_seconds:g} s."
        )
    return PullFailure(
        Outcome.NO_MEDIA,
        f"The source sent no picture to start at (no keyframe) within {KEYFRAME_SECONDS:g} s.",
    )
