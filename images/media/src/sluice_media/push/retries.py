"""When to dial again, as pure bookkeeping: failures in, the time of the next try out.

All times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sluice_media.push.failures import Failure, FailureClass

PROVEN_SECONDS = 10.0
"""A connection that was Live for so long ends the series of failures before it."""
REJECTED_MIN_SECONDS = 60.0
REJECTED_MAX_SECONDS = 600.0
KEPT_SECONDS = 180.0
"""A target that has not noticed yet that a connection broke refuses the next one, because its key
is in use: by us. For so long that is no reason to stay away for a minute and more."""
ABRUPT_ENDS = frozenset({FailureClass.CLOSED, FailureClass.RESET})
"""How a target ends a connection without a word of why."""
TOLERATED_ABRUPT_ENDS = 3
"""So many in a row may be a target that restarts, or a bad line. More of them are a refusal: many
platforms say no to a wrong key or an unwanted stream in no other way."""
_MAX_DOUBLINGS = 20


@dataclass(slots=True, frozen=True)
class RetryPolicy:
    """The wait after the n-th failure in a row lies between ``min_seconds`` and
    ``min_seconds * 2**n``, at random, and never above ``max_seconds``."""

    min_seconds: float = 1.0
    max_seconds: float = 30.0
    give_up_seconds: float = 0.0
    """0: never."""


class Retries:
    """A series of failures to reach one target. ``between(low, high)`` draws the jitter."""

    def __init__(self, between: Callable[[float, float], float]) -> None:
        self._between = between
        self.policy = RetryPolicy()
        self.failed: Failure | None = None
        """The last failure, until the next try."""
        self.rejected = False
        """It was a no: the next try comes late."""
        self.due: float | None = None
        """None: at once."""
        self._failures = 0
        self._rejections = 0
        self._abrupt_ends = 0
        """In a row, of connections that were not proven."""
        self._kept_until: float | None = None

    def fail(self, failure: Failure, now: float, live_since: float | None) -> None:
        """A try or a connection has ended. ``live_since``: since when it had been Live, if it was.

        Who had the target a moment ago and hears that its key is in use is not rejected: it may be
        its own connection that is in the way. A target that ends connections without a word before
        they are proven is taken to refuse after :data:`TOLERATED_ABRUPT_ENDS` of them.
        """
        proven = live_since is not None and now - live_since >= PROVEN_SECONDS
        if live_since is not None:
            self._kept_until = None if failure.is_rejection else now + KEPT_SECONDS
        if proven:
            self.forgive()
        may_be_ours = self._kept_until is not None and now < self._kept_until
        self.failed = failure
        if failure.class_ not in ABRUPT_ENDS:
            self._abrupt_ends = 0
            excused = may_be_ours and failure.class_ is FailureClass.BAD_NAME
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
        """A try begins."""
        self.failed, self.due = None, None

    def forgive(self) -> None:
        """What failed before does not count any more: the next try is due now."""
        self._failures = self._rejections = self._abrupt_ends = 0
        self.begin()

    def renew(self) -> None:
        """The target or its key is another one, which has nothing of us."""
        self._kept_until = None

    def _wait(self, low: float, high: float, failures: int) -> float:
        top = min(high, low * 2.0 ** min(failures, _MAX_DOUBLINGS))
        return self._between(min(low, high), max(top, min(low, high)))
