"""A machine of a push with a clock of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sluice_media.contract import PushState, TargetErrorClass
from sluice_media.push.failures import Failure
from sluice_media.push.machine import (
    Action,
    Ended,
    Event,
    Moment,
    PushMachine,
    SourceChanged,
)

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
ON_AIR = SourceChanged(session=True, delivering=True)
INTERRUPTED = SourceChanged(session=True, delivering=False)
OVER = SourceChanged(session=False, delivering=False)
REFUSED = Ended(Failure(TargetErrorClass.REFUSED, "nothing listens there"))
BAD_NAME = Ended(Failure(TargetErrorClass.BAD_NAME, "the key is wrong"))
CLOSED = Ended(Failure(TargetErrorClass.CLOSED, "the target closed the connection"))
RESET = Ended(Failure(TargetErrorClass.RESET, "the target reset the connection"))


@dataclass
class Push:
    """A machine with a clock of its own, always at the upper end of the jitter."""

    now: float = 1_000.0
    machine: PushMachine = field(default_factory=lambda: PushMachine(lambda low, high: high))
    actions: list[Action] = field(default_factory=list)

    def tell(self, *events: Event) -> list[Action]:
        done: list[Action] = []
        for event in events:
            done += self.machine.handle(event, self.moment)
        self.actions += done
        return done

    def after(self, seconds: float) -> list[Action]:
        """Lets time pass, ticking at each deadline as the real thing does."""
        end = self.now + seconds
        done: list[Action] = []
        while (due := self.machine.deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            done += self.machine.tick(self.moment)
        self.now = end
        self.actions += done
        return done

    @property
    def moment(self) -> Moment:
        return Moment(self.now, EPOCH + timedelta(seconds=self.now))

    def state(self) -> PushState:
        return self.machine.state

    @property
    def idle_reason(self) -> str | None:
        return self.machine.view().idle_reason
