"""What goes into the pull's machine and what comes out of it. A source is any value that can be
compared, a child is a number."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from sluice_media.pull.failures import PullFailure


@dataclass(slots=True, frozen=True)
class Plan:
    """What the configuration says."""

    sources: tuple[Hashable, ...]
    generation: int = 0
    restart: str = ""
    given_up: bool = False
    """An earlier process gave up under these two."""
    stall_seconds: float = 3.0
    retry_seconds: float = 3.0
    inactivity_seconds: float = 0.0
    """0: never."""
    warm: bool = False
    takeover_seconds: float = 0.8
    """No byte for so long, and a standby that delivers takes over."""

    @property
    def asked(self) -> Hashable:
        """Changes when the user asks for new tries."""
        return self.generation, self.restart


@dataclass(slots=True, frozen=True)
class Configured:
    """None: nothing is to be pulled."""

    plan: Plan | None


@dataclass(slots=True, frozen=True)
class Arrived:
    """Bytes came from a child."""

    child: int


@dataclass(slots=True, frozen=True)
class DeliveryChanged:
    child: int
    delivers: bool


@dataclass(slots=True, frozen=True)
class Ended:
    child: int
    failure: PullFailure


Event = Configured | Arrived | DeliveryChanged | Ended


@dataclass(slots=True, frozen=True)
class Start:
    child: int
    index: int
    standby: bool


@dataclass(slots=True, frozen=True)
class Stop:
    """The machine has forgotten the child already: its :class:`Ended` says nothing more."""

    child: int
    failure: PullFailure


@dataclass(slots=True, frozen=True)
class Promote:
    """The standby is the one on air from now on."""

    child: int


Command = Start | Stop | Promote


@dataclass(slots=True, frozen=True)
class View:
    """What a status shows."""

    index: int | None
    delivers: bool
    standby: int | None
    inactive: bool
    failure: tuple[int, PullFailure] | None
    """The last try that failed: its index, and why."""
