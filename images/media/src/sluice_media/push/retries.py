"""Bookkeeping of retries (pure): failures in, the time of the next try out.

All times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sluice_media.contract import TargetErrorClass
from sluice_media.push.failures import Failure

PROVEN_SECONDS = 10.0
"""Time as Live after which a connection ends the series of failures before it."""
REJECTED_MIN_SECONDS = 60.0
REJECTED_MAX_SECONDS = 600.0
KEY_IN_USE_SECONDS = 180.0
"""Time after a lost connection in which a refused key is not a rejection. The target may not have
noticed the loss, and refuses the key because our own old connection still holds it."""
ABRUPT_ENDS = frozenset({TargetErrorClass.CLOSED, TargetErrorClass.RESET})
"""Classes of failures in which the target ends the connection without a cause."""
TOLERATED_ABRUPT_ENDS = 3
"""Number of abrupt ends in a row that may be a restart of the target or a bad line. More are a
refusal: many platforms refuse a wrong key or an unwanted stream only in this way."""
_MAX_DOUBLINGS = 20


@dataclass(slots=True, frozen=True)
class RetryPolicy:
    """Limits of the waits. The wait after the n-th failure in a row is random, from ``min_seconds``
    to ``min_seconds * 2**n``, and at most ``max_seconds``."""

    min_seconds: float = 1.0
    max_seconds: float = 30.0
    give_up_seconds: float = 0.0
    """Time without success after which the machine gives up; 0 for never."""


class Retries:
    """A series of failures to reach one target. ``between(low, high)`` draws the jitter."""

    def __init__(self, between: Callable[[float, float], float]) -> None:
        self._between = between
        self.policy = RetryPolicy()
        self.failed: Failure | None = None
        """The last failure, until the next try."""
        self.rejected = False
        """True when the last failure was a refusal, so that the next try comes late."""
        self.due: float | None = None
        """Time of the next try; None for at once."""
        self._failures = 0
        self._rejections = 0
        self._abrupt_ends = 0
        """Number of abrupt ends in a row, of connections that were not proven."""
        self._key_in_use_until: float | None = None

    def fail(self, failure: Failure, now: float, live_since: float | None) -> None:
        """Note that a try or a connection failed. ``live_since`` is the time since which it was
        Live.

        A refused key shortly after a lost connection is not a rejection, because our own old
        connection may still hold the key. Abrupt ends of connections that are not proven count as a
        refusal after :data:`TOLERATED_ABRUPT_ENDS` of them.
        """
        proven = live_since is not None and now - live_since >= PROVEN_SECONDS
        if live_since is not None:
            self._key_in_use_until = None if failure.is_rejection else now + KEY_IN_USE_SECONDS
        if proven:
            self.reset()
        may_be_ours = self._key_in_use_until is not None and now < self._key_in_use_until
        self.failed = failure
        if failure.class_ not in ABRUPT_ENDS:
            self._abrupt_ends = 0
            excused = may_be_ours and failure.class_ is TargetErrorClass.BAD_NAME
            self.rejected = failure.is_rejection and not excused
        else:
            excused = proven or (may_be_ours and live_since is None)
            self._abrupt_ends += not excused
            self.rejected = self._abrupt_ends > TOLERATED_ABRUPT_ENDS
        if self.rejected:
            self._rejections += 1
            wait = self._wait(REJECTED_MIN_SECONDS, REJECTED_MAX_SECONDS, self._rejections)
        else:
            self._failures += 1
            wait = self._wait(self.policy.min_seconds, self.policy.max_seconds, self._failures)
        self.due = now + wait

    def begin(self) -> None:
        """Note that a try begins."""
        self.failed, self.due = None, None

    def reset(self) -> None:
        """End the series of failures: the next try is due now."""
        self._failures = self._rejections = self._abrupt_ends = 0
        self.begin()

    def forget_connection(self) -> None:
        """Note that the target or its key changed, so that no old connection can hold the key."""
        self._key_in_use_until = None

    def _wait(self, low: float, high: float, failures: int) -> float:
        top = min(high, low * 2.0 ** min(failures, _MAX_DOUBLINGS))
        return self._between(min(low, high), max(top, min(low, high)))
