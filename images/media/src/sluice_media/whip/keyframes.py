"""When to ask the sender for a keyframe (pure)."""

from __future__ import annotations

_MAX_NALS = 64
_MIN_INTERVAL_SECONDS = 0.3
"""Between two requests, whatever happened: each answer is a large picture."""


def is_keyframe(picture: bytes) -> bool:
    """Whether an access unit in byte stream form (Annex B) holds an IDR slice."""
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
    """Chromium sent one keyframe in 10 s; a picture that lost its reference stays broken until the
    next."""

    def __init__(self, interval_seconds: float) -> None:
        self._interval = interval_seconds
        self._keyframe_at: float | None = None
        self._asked_at: float | None = None
        self._needed = False

    def saw_keyframe(self, now: float) -> None:
        self._keyframe_at = now
        self._needed = False

    def need(self) -> None:
        """Pictures were lost or dropped."""
        self._needed = True

    def due(self, now: float) -> bool:
        """Whether to ask now; :meth:`asked` follows when there was somebody to ask."""
        since = self._interval if self._asked_at is None else now - self._asked_at
        urgent = self._needed and since >= _MIN_INTERVAL_SECONDS
        late = self._keyframe_at is None or now - self._keyframe_at >= self._interval
        return urgent or (late and since >= self._interval)

    def asked(self, now: float) -> None:
        self._asked_at = now
