"""Tries of sources, and the order of their turns (pure). Used by the pull's state machine."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from sluice_media.pull.events import Plan
from sluice_media.pull.failures import Outcome, PullFailure

KEYFRAME_SECONDS = 10.0
"""Timeout of a try that does not deliver."""
MIN_RETRY_SECONDS = 0.5
"""Minimum delay, also when the configuration says 0: a source that refuses must not be dialled in
a tight loop."""
_MAX_RETRY_SECONDS = 10.0
_MAX_DOUBLINGS = 10


@dataclass(slots=True)
class Try:
    """One child for one source."""

    child: int
    index: int
    """Index of the source in the plan."""
    source: Hashable
    not_delivering_since: float | None
    arrived_at: float | None = None
    """Time of the last byte."""
    delivering_since: float | None = None
    delivered: bool = False
    """True when the try has delivered at least once."""

    def gives_up_at(self, plan: Plan) -> float:
        """Return the time at which the try is given up unless media arrives."""
        limits = []
        if self.arrived_at is not None:
            limits.append(self.arrived_at + plan.stall_seconds)
        if self.not_delivering_since is not None:
            limits.append(self.not_delivering_since + KEYFRAME_SECONDS)
        return min(limits)

    def failure_at(self, plan: Plan, now: float) -> PullFailure:
        """Return the failure of a try that is given up now."""
        if self.arrived_at is None:
            return PullFailure(
                Outcome.TIMEOUT, f"The source sent no media within {KEYFRAME_SECONDS:g} s."
            )
        if now >= self.arrived_at + plan.stall_seconds:
            return PullFailure(
                Outcome.STALLED, f"The source has sent nothing for {plan.stall_seconds:g} s."
            )
        return PullFailure(
            Outcome.NO_MEDIA,
            f"The source sent no keyframe within {KEYFRAME_SECONDS:g} s, so playback cannot start.",
        )

    def follow(self, sources: tuple[Hashable, ...]) -> bool:
        """Set the source's index in changed ``sources``. Return False when it is not listed."""
        if self.index < len(sources) and sources[self.index] == self.source:
            return True
        if self.source not in sources:
            return False
        self.index = sources.index(self.source)
        return True


class RetryDelay:
    """The delay after rounds without success: doubled each time, up to 10 s."""

    def __init__(self) -> None:
        self._rounds = 0

    def reset(self) -> None:
        """Forget earlier rounds."""
        self._rounds = 0

    def next(self, retry_seconds: float) -> float:
        """Return the delay in seconds after one more round."""
        first = max(retry_seconds, MIN_RETRY_SECONDS)
        delay = first * 2.0 ** min(self._rounds, _MAX_DOUBLINGS)
        self._rounds += 1
        return min(delay, max(first, _MAX_RETRY_SECONDS))


@dataclass(slots=True)
class Turns:
    """The order in which sources are tried, on air or as standby."""

    next: int = 0
    """Counter whose value modulo the number of sources is the index of the next source."""
    due: float = 0.0
    """Time before which no source is dialled."""
    failed: int = 0
    """Number of unproven tries since the last full round or the last proven try."""
    delay: RetryDelay = field(default_factory=RetryDelay)

    def forgive(self) -> None:
        """Forget earlier failures."""
        self.failed = 0
        self.delay.reset()

    def restart(self, now: float) -> None:
        """Forget earlier failures and delays."""
        self.forgive()
        self.due = now

    def postpone(self, now: float, retry_seconds: float) -> None:
        """Wait before the next try, longer each time."""
        self.due = now + self.delay.next(retry_seconds)
