"""The pull's state machine: which source is dialled, given up, or kept as standby (pure).

In: events with the monotonic time at which they happened, and :meth:`PullMachine.tick` when
:meth:`PullMachine.deadline` has come. Out: commands. The machine handles no URIs and no sockets:
a source is any value that can be compared, a child is a number.

A *try* is one child for one source. It ends when the source ends, when no byte came for
``stall_seconds``, or when it has not delivered for 10 s. The next source follows at once; only a
full *round* over all sources is followed by a delay. A try that delivered for 10 s is *proven*: it
resets the count of failures.

Beside the source on air there is at most one standby. With ``warm`` there is always one. Without
``warm`` it is dialled when the source on air is suspected to have stalled, and stopped when that
source sends again. A standby takes over when it delivers and the source on air is silent.
"""

from __future__ import annotations

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
from sluice_media.pull.tries import MIN_RETRY_SECONDS, Try, Turns

PROVEN_SECONDS = 10.0
SUSPECT_SHARE = 1 / 3
"""Share of ``stall_seconds`` after which a silent source is suspected and the next one is dialled.
Measured with ``stall_seconds`` of 3 s: on air again 2 s after the last byte instead of 4 s."""

_SWITCHED = PullFailure(Outcome.STOPPED, "The configuration changed, or no pull is needed.")


class PullMachine:
    """The state of one pull; see the module."""

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._children = 0
        self._main: Try | None = None
        self._standby: Try | None = None
        self._turns = Turns()
        self._standby_turns = Turns()
        self._round_began_at = 0.0
        self._round_delivered = False
        """True when a try of this round delivered, but not long enough to be proven."""
        self._delivered_at = 0.0
        self._inactive = False
        self._failure: tuple[int, PullFailure] | None = None
        self._commands: list[Command] = []

    # ------------------------------------------------------------------------- in

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take an event and return the commands that follow from it."""
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
                    self._set_delivery(found, delivers, now)
            case Ended(child, failure):
                if (found := self._find(child)) is not None:
                    self._end(found, failure, now)
        return self.tick(now)

    def tick(self, now: float) -> list[Command]:
        """Return the commands that are due."""
        self._note_delivery(now)
        self._watch_inactivity(now)
        if self._plan is not None and self._plan.sources and not self._inactive:
            self._watch_tries(self._plan, now)
            self._fill_main(self._plan, now)
            self._fill_standby(self._plan, now)
        commands, self._commands = self._commands, []
        return commands

    def deadline(self) -> float | None:
        """Return the time at which :meth:`tick` is due, or None when only events matter."""
        plan = self._plan
        if plan is None or not plan.sources or self._inactive:
            return None
        tries = (self._main, self._standby)
        due = [found.gives_up_at(plan) for found in tries if found is not None]
        if self._main is None:
            due.append(self._turns.due)
        elif (standby_at := self._standby_due_at(plan)) is not None:
            due.append(standby_at)
        if (takeover_at := self._takeover_at(plan)) is not None:
            due.append(takeover_at)
        if plan.inactivity_seconds > 0 and not self._any_delivers:
            due.append(self._delivered_at + plan.inactivity_seconds)
        return min(due)

    # ------------------------------------------------------------------------- out

    def view(self) -> View:
        """Return the state for a status."""
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
        request_before = before.request if before is not None and before.sources else None
        if plan.request != request_before:
            if self._inactive or request_before is None:
                self._restart(now)
                self._delivered_at = now
            self._inactive = False
        if plan.given_up and not self._any_delivers:
            self._inactive = True
            self._stop_all()
        self._turns.next %= len(plan.sources)
        if before is None or before.sources == plan.sources:
            if not plan.warm:
                self._drop_standby()
            return
        self._restart(now)
        self._failure = None
        self._keep_listed_tries(plan)

    def _keep_listed_tries(self, plan: Plan) -> None:
        """Stop the tries whose sources are not listed any more; renumber the others."""
        sources = plan.sources
        if self._main is not None and not self._main.follow(sources):
            self._turns.next = self._main.index % len(sources)
            self._stop(self._main, _SWITCHED)
        self._turns.next %= len(sources)
        standby = self._standby
        if standby is not None and (
            not plan.warm
            or not standby.follow(sources)
            or (self._main is not None and self._main.index == standby.index)
        ):
            self._drop_standby()

    def _restart(self, now: float) -> None:
        self._turns.restart(now)
        self._standby_turns.restart(now)
        self._round_began_at = now
        self._round_delivered = False

    # ------------------------------------------------------------------------- tries

    def _set_delivery(self, found: Try, delivers: bool, now: float) -> None:
        if delivers == (found.delivering_since is not None):
            return
        if delivers:
            found.delivering_since, found.not_delivering_since = now, None
            found.arrived_at = found.arrived_at or now
            found.delivered = True
        else:
            self._forgive_if_proven(found, now)
            found.delivering_since, found.not_delivering_since = None, now

    def _forgive_if_proven(self, found: Try, now: float) -> bool:
        """Forget older failures when the try is proven. Return whether it is."""
        since = found.delivering_since
        if since is None or now - since < PROVEN_SECONDS:
            return False
        if found is self._main:
            self._turns.forgive()
            self._round_began_at, self._round_delivered = now, False
        else:
            self._standby_turns.forgive()
        return True

    def _end(self, found: Try, failure: PullFailure, now: float) -> None:
        """Record the end of a try. Its successor is chosen by the ``_fill_`` methods."""
        assert self._plan is not None
        self._failure = (found.index, failure)
        proven = self._forgive_if_proven(found, now)
        if found is self._standby:
            self._standby = None
            self._end_standby(found, proven, self._plan, now)
        else:
            self._main = None
            self._end_main(found, proven, self._plan, now)

    def _end_standby(self, found: Try, proven: bool, plan: Plan, now: float) -> None:
        turns = self._standby_turns
        turns.next = found.index + 1
        turns.failed += not proven
        if turns.failed >= len(plan.sources) - 1:
            turns.failed = 0
            turns.postpone(now, plan.retry_seconds)

    def _end_main(self, found: Try, proven: bool, plan: Plan, now: float) -> None:
        turns = self._turns
        turns.next = (found.index + 1) % len(plan.sources)
        turns.due = now
        self._round_delivered |= found.delivered and not proven
        turns.failed += not proven
        if turns.failed < len(plan.sources):
            return
        if self._round_delivered:
            # A source of this round worked, so the delay does not grow. But a source that ends at
            # once must not be dialled in a tight loop.
            least = max(plan.retry_seconds, MIN_RETRY_SECONDS)
            turns.due = max(now, self._round_began_at + least)
        else:
            turns.postpone(now, plan.retry_seconds)
        turns.failed = 0
        self._round_began_at, self._round_delivered = turns.due, False

    def _watch_tries(self, plan: Plan, now: float) -> None:
        for found in (self._main, self._standby):
            if found is not None and now >= found.gives_up_at(plan):
                self._give_up(found, found.failure_at(plan, now), now)
        takeover_at = self._takeover_at(plan)
        if self._main is not None and takeover_at is not None and now >= takeover_at:
            self._give_up(
                self._main,
                PullFailure(Outcome.STALLED, "The source fell silent, and the next one took over."),
                now,
            )

    def _takeover_at(self, plan: Plan) -> float | None:
        """Return when a standby that delivers takes over from a source that stays silent."""
        main, standby = self._main, self._standby
        if main is None or standby is None or standby.delivering_since is None:
            return None
        if main.delivering_since is None:
            return 0.0
        return (main.arrived_at or main.delivering_since) + plan.takeover_seconds

    def _give_up(self, found: Try, failure: PullFailure, now: float) -> None:
        self._commands.append(Stop(found.child, failure))
        self._end(found, failure, now)

    # ------------------------------------------------------------------------- turns

    def _fill_main(self, plan: Plan, now: float) -> None:
        if self._main is not None:
            return
        if self._standby is not None:
            self._main, self._standby = self._standby, None
            self._commands.append(Promote(self._main.child))
            self._standby_turns.failed = 0
            self._standby_turns.next = self._main.index + 1
        elif now >= self._turns.due:
            self._main = self._start(plan, self._turns.next, now, standby=False)
            self._standby_turns.next = self._main.index + 1

    def _fill_standby(self, plan: Plan, now: float) -> None:
        due_at = self._standby_due_at(plan)
        if self._main is None or due_at is None or now < due_at:
            return
        index = self._standby_turns.next % len(plan.sources)
        if index == self._main.index:
            index = (index + 1) % len(plan.sources)
        self._standby = self._start(plan, index, now, standby=True)

    def _standby_due_at(self, plan: Plan) -> float | None:
        """Return when a standby is dialled beside the source on air."""
        main = self._main
        if len(plan.sources) < 2 or self._standby is not None or main is None:
            return None
        if plan.warm:
            return self._standby_turns.due if main.delivering_since is not None else None
        if main.arrived_at is None or not main.delivered:
            return None
        silence = max(plan.takeover_seconds, plan.stall_seconds * SUSPECT_SHARE)
        return max(main.arrived_at + silence, self._standby_turns.due)

    def _clear_suspicion(self, now: float) -> None:
        """Stop the standby when the source on air sends again, unless ``warm`` keeps one."""
        if self._plan is not None and not self._plan.warm and self._standby is not None:
            self._drop_standby()
            # A source that pauses often must not make the machine dial the next one each time.
            self._standby_turns.postpone(now, self._plan.retry_seconds)

    def _start(self, plan: Plan, index: int, now: float, *, standby: bool) -> Try:
        self._children += 1
        self._commands.append(Start(self._children, index, standby))
        return Try(self._children, index, plan.sources[index], not_delivering_since=now)

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

    def _find(self, child: int) -> Try | None:
        for found in (self._main, self._standby):
            if found is not None and found.child == child:
                return found
        return None

    def _stop(self, found: Try, failure: PullFailure) -> None:
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
