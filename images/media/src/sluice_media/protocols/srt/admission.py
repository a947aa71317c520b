"""A table of verdicts about publishers, for the handshake thread.

libsrt calls our hook before each accept, in the thread that receives for *all* publishers. A hook
that takes 3 s stalls all of them for 3 s. So the hook only reads this table. A request that the
table does not hold is looked up in the event loop, and its handshake waits a moment for the answer.
All handshakes together wait at most a fifth of the time: an attacker who guesses names must not
slow the other publishers down.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import SecretStr

from sluice_media.protocols.srt.reject import RejectCode
from sluice_media.protocols.srt.streamid import PublishRequest

_MAX_ENTRIES = 10_000
_MAX_LOOKUPS = 64
_WAITING_SHARE = 0.2
_WAITING_BURST = 2
"""Number of waits of full length that may follow each other. It admits ten encoders that start at
the same moment, with a lookup of 10 ms each."""


@dataclass(slots=True, frozen=True)
class Admit:
    """A verdict: the key is right."""

    leg: str
    """Name that one publisher at a time may hold, such as ``demo/talk/primary``."""
    passphrase: SecretStr | None = None
    """10 to 79 characters. None refuses connections with encryption."""
    latency_ms: int | None = None
    """Latency of this publisher; None for the listener's."""
    valid_seconds: float = 30.0
    """Time after which the verdict is forgotten."""
    fresh_seconds: float = 30.0
    """Time after which the verdict is looked up again. It still counts when no answer comes in
    time."""


@dataclass(slots=True, frozen=True)
class Refuse:
    """A verdict: the handshake is refused."""

    code: RejectCode
    valid_seconds: float = 1.0
    """Time after which the verdict is forgotten."""


Verdict = Admit | Refuse


@dataclass(slots=True)
class _Lookup:
    """A lookup in flight."""

    done: threading.Event
    verdict: Verdict | None = None


class AdmissionTable:
    """Verdicts by request. The handshake thread reads them, the event loop writes them."""

    def __init__(
        self,
        *,
        wait_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        """``wait_seconds`` is a handshake's longest wait; ``clock`` returns monotonic seconds."""
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._verdicts: dict[bytes, tuple[Verdict, float]] = {}
        """By digest: the verdict and the time of its answer."""
        self._lookups: dict[bytes, _Lookup] = {}
        self._max_credit = self._credit = _WAITING_BURST * wait_seconds
        self._credited_at = clock()

    def ask(self, request: PublishRequest, start_lookup: Callable[[], None]) -> Verdict:
        """Return the verdict, or UNAVAILABLE (try again) when none comes in time.

        ``start_lookup`` is called when the table holds no verdict. It must not block. Its result
        arrives through :meth:`answer`.
        """
        key = _digest(request)
        with self._lock:
            verdict, age = self._known(key)
            if verdict is not None and (isinstance(verdict, Refuse) or age < verdict.fresh_seconds):
                return verdict
            lookup = self._lookups.get(key)
            start = lookup is None
            if lookup is None:
                if len(self._lookups) >= _MAX_LOOKUPS:
                    return verdict or Refuse(RejectCode.OVERLOAD)
                lookup = self._lookups[key] = _Lookup(threading.Event())
        if start:
            start_lookup()
        self._wait(lookup.done)
        return lookup.verdict or verdict or Refuse(RejectCode.UNAVAILABLE)

    def _known(self, key: bytes) -> tuple[Verdict | None, float]:
        """Return a verdict that is still valid, and its age in seconds."""
        verdict, answered_at = self._verdicts.get(key, (None, 0.0))
        age = self._clock() - answered_at
        return (verdict, age) if verdict and age < verdict.valid_seconds else (None, 0.0)

    def answer(self, request: PublishRequest, verdict: Verdict) -> None:
        """Store a verdict, in place of an older one, and wake the handshake that waits for it."""
        key = _digest(request)
        now = self._clock()
        with self._lock:
            self._verdicts.pop(key, None)
            self._verdicts[key] = (verdict, now)
            if len(self._verdicts) > _MAX_ENTRIES:
                self._forget(now)
            lookup = self._lookups.pop(key, None)
        if lookup is not None:
            lookup.verdict = verdict
            lookup.done.set()

    def forget_expired(self) -> None:
        """Delete expired verdicts, so that passphrases do not stay in memory. Call regularly."""
        with self._lock:
            self._forget(self._clock())

    def _forget(self, now: float) -> None:
        expired = [
            key
            for key, (verdict, answered_at) in self._verdicts.items()
            if now - answered_at >= verdict.valid_seconds
        ]
        for key in expired:
            del self._verdicts[key]
        while len(self._verdicts) > _MAX_ENTRIES:
            del self._verdicts[next(iter(self._verdicts))]

    def _wait(self, done: threading.Event) -> None:
        # Only the handshake thread runs this: no lock is needed.
        started = self._clock()
        earned = (started - self._credited_at) * _WAITING_SHARE
        credit = min(self._max_credit, self._credit + earned)
        done.wait(min(self._wait_seconds, credit))
        self._credited_at = self._clock()
        self._credit = max(0.0, credit - (self._credited_at - started))


def _digest(request: PublishRequest) -> bytes:
    """Return a digest of the request, so that the table does not hold the key itself."""
    parts = (request.namespace, request.stream, request.key.get_secret_value())
    return hashlib.sha256("\0".join(parts).encode()).digest()
