"""Events and commands of the pull's state machine.

A source is any value that can be compared, a child is a number.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from sluice_media.pull.failures import PullFailure


@dataclass(slots=True, frozen=True)
class Plan:
    """The configuration of a pull."""

    sources: tuple[Hashable, ...]
    generation: int = 0
    restart: str = ""
    given_up: bool = False
    """True when an earlier process gave up under the same ``generation`` and ``restart``."""
    stall_seconds: float = 3.0
    """Time without a byte after which a try is given up."""
    retry_seconds: float = 3.0
    """Delay after the first round of tries without success."""
    inactivity_seconds: float = 0.0
    """Time without delivery after which the pull gives up; 0 for never."""
    warm: bool = False
    """True to keep a standby at all times."""
    takeover_seconds: float = 0.8
    """Time without a byte after which a standby that delivers takes over."""

    @property
    def request(self) -> Hashable:
        """The user's request for tries. A new value restarts a pull that has given up."""
        return self.generation, self.restart


@dataclass(slots=True, frozen=True)
class Configured:
    """A new plan; None stops the pull."""

    plan: Plan | None


@dataclass(slots=True, frozen=True)
class Arrived:
    """Bytes from a child."""

    child: int


@dataclass(slots=True, frozen=True)
class DeliveryChanged:
    """The start or the end of delivery, as :attr:`~.sink.PullLeg.delivers` defines it."""

    child: int
    delivers: bool


@dataclass(slots=True, frozen=True)
class Ended:
    """The end of a child that was not stopped."""

    child: int
    failure: PullFailure


Event = Configured | Arrived | DeliveryChanged | Ended


@dataclass(slots=True, frozen=True)
class Start:
    """Command to start a child for the source at this index."""

    child: int
    index: int
    standby: bool


@dataclass(slots=True, frozen=True)
class Stop:
    """Command to stop a child. The machine ignores the :class:`Ended` of this child."""

    child: int
    failure: PullFailure


@dataclass(slots=True, frozen=True)
class Promote:
    """Command to put the standby on air."""

    child: int


Command = Start | Stop | Promote


@dataclass(slots=True, frozen=True)
class View:
    """The machine's state for a status."""

    index: int | None
    """Index of the source on air or in its try; None when none is dialled."""
    delivers: bool
    """True when the source at ``index`` delivers."""
    standby: int | None
    """Index of the standby's source."""
    inactive: bool
    """True when the pull has given up."""
    failure: tuple[int, PullFailure] | None
    """Index and failure of the last try that failed."""
