"""Who may publish, as far as it is known already: a table for the handshake thread.

libsrt asks before each accept, in the thread that receives for *all* publishers: a callback of 3 s
stalls every one of them for 3 s. So it reads this table and nothing else; what is not in it is
looked up meanwhile by somebody else, and the publisher may wait a moment for that, but all of them
together not more than a fifth of the time: who guesses names must not slow the others down.
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
"""Waits of full length that may follow each other: ten encoders that start together, each with a
lookup of 10 ms, are all let in at once."""


@dataclass(slots=True, frozen=True)
class Admit:
    """The key is right."""

    leg: str
    """What can have one publisher at a time, e.g. ``demo/talk/primary``."""
    passphrase: SecretStr | None = None
    """10 to 79 characters; None: without encryption, and nothing else is accepted then."""
    latency_ms: int | None = None
    """Instead of the listener's."""
    valid_seconds: float = 30.0
    fresh_seconds: float = 30.0
    """Older than that it is looked up anew, and stands only if no answer comes in time."""


@dataclass(slots=True, frozen=True)
class Refuse:
    code: RejectCode
    valid_seconds: float = 1.0


Verdict = Admit | Refuse


@dataclass(slots=True)
class _Lookup:
    done: threading.Event
    verdict: Verdict | None = None


class AdmissionTable:
    """Used by two threads: the handshakes ask, the event loop answers."""

    def __init__(
        self,
        *,
        wait_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` gives monotonic seconds."""
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._verdicts: dict[bytes, tuple[Verdict, float]] = {}
        """With the time of the answer."""
        self._lookups: dict[bytes, _Lookup] = {}
        self._max_credit = self._credit = _WAITING_BURST * wait_seconds
        self._credited_at = clock()

    def ask(self, request: PublishRequest, start_lookup: Callable[[], None]) -> Verdict:
        """The verdict; UNAVAILABLE when there is none in time, which means: try again.

        ``start_lookup`` is called when nothing is known. It must not block; what it finds comes
        by :meth:`answer`.
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
        """A verdict that is still valid, and its age in seconds."""
        verdict, answered_at = self._verdicts.get(key, (None, 0.0))
        age = self._clock() - answered_at
        return (verdict, age) if verdict and age < verdict.valid_seconds else (None, 0.0)

    def answer(self, request: PublishRequest, verdict: Verdict) -> None:
        """The result of a lookup, or news: it replaces what was known."""
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
        """To be called now and then: passphrases stay no longer than they are valid."""
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
        # Only the handshake thread comes here: nothing to be locked.
        started = self._clock()
        earned = (started - self._credited_at) * _WAITING_SHARE
        credit = min(self._max_credit, self._credit + earned)
        done.wait(min(self._wait_seconds, credit))
        self._credited_at = self._clock()
        self._credit = max(0.0, credit - (self._credited_at - started))


def _digest(request: PublishRequest) -> bytes:
    """Instead of the key itself, so that the table holds no keys."""
    words = (request.namespace, request.stream, request.key.get_secret_value())
    return hashlib.sha256("\0".join(words).encode()).digest()
