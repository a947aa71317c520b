"""The times of keyframe requests to the sender (pure)."""

from __future__ import annotations

_MAX_NALS = 64
_MIN_INTERVAL_SECONDS = 0.3
"""Minimum interval between two requests: each answer is a large picture."""


def is_keyframe(picture: bytes) -> bool:
    """Return whether an access unit in byte stream form (Annex B) holds an IDR slice."""
    position = 0
    for _ in range(_MAX_NALS):
        position = picture.find(b"\x00\x00\x01", position) + 3
        if position < 3 or position >= len(picture):
            return False
        nal_type = picture[position] & 0x1F
        if nal_type == 5:
            return True
        if nal_type == 1:  # the slices of one picture are either all IDR or none
            return False
    return False


class KeyframeRequests:
    """The keyframe requests of one session.

    Without requests, Chromium sent one keyframe in 10 s. After a loss, pictures stay broken until
    the next keyframe.
    """

    def __init__(self, interval_seconds: float) -> None:
        """Request a keyframe when none came for ``interval_seconds``."""
        self._interval = interval_seconds
        self._keyframe_at: float | None = None
        self._requested_at: float | None = None
        self._needed = False

    def saw_keyframe(self, now: float) -> None:
        """Note a keyframe."""
        self._keyframe_at = now
        self._needed = False

    def need(self) -> None:
        """Note that pictures were lost or dropped."""
        self._needed = True

    def due(self, now: float) -> bool:
        """Return whether a request is due. Call :meth:`requested` after it was sent."""
        since = self._interval if self._requested_at is None else now - self._requested_at
        urgent = self._needed and since >= _MIN_INTERVAL_SECONDS
        late = self._keyframe_at is None or now - self._keyframe_at >= self._interval
        return urgent or (late and since >= self._interval)

    def requested(self, now: float) -> None:
        """Note that a request was sent."""
        self._requested_at = now
