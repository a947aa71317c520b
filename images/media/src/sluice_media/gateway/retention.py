"""What the hub has not acknowledged: codec headers, and everything from a random access point on.

Kept are whole groups of pictures (for a stream without video: seconds of sound). A group goes when
the next one starts at or before the acknowledged time and nothing in it is later; it also goes,
counted, beyond the limits of time and bytes. Tags are encoded once, here, and the same bytes go to
the hub.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sluice_media.flv.demux import TICKS_PER_MS, MillisecondClock
from sluice_media.flv.inspect import MessageClass, MessageInspector
from sluice_media.flv.tags import TagType, encode_tag
from sluice_media.rtmp import Media

__all__ = ["Retention"]

_SLACK_MS = 3
"""The hub counts audio in samples, up to 2 ms away from the milliseconds here."""
_AUDIO_GROUP_MS = 1_000
_WRAP_MS = 1 << 32


@dataclass(slots=True)
class _Headers:
    """Payloads that a decoder needs first."""

    script: bytes = b""
    video: bytes = b""
    audio: bytes = b""

    def tags(self, timestamp_ms: int) -> list[bytes]:
        kinds = (
            (TagType.SCRIPT, self.script),
            (TagType.VIDEO, self.video),
            (TagType.AUDIO, self.audio),
        )
        return [encode_tag(kind, timestamp_ms, payload) for kind, payload in kinds if payload]


@dataclass(slots=True)
class _Group:
    headers: _Headers
    arrived_at: float
    first_ms: int | None = None
    last_ms: int = 0
    size: int = 0
    tags: list[bytes] = field(default_factory=list)


class Retention:
    """Of one publisher. ``clock`` gives monotonic seconds."""

    def __init__(self, max_seconds: float, max_bytes: int, clock: Callable[[], float]) -> None:
        self._max_seconds = max_seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._inspector = MessageInspector()
        self._times = MillisecondClock()
        self._headers = _Headers()
        self._groups: deque[_Group] = deque()
        self._skipping = False
        self._now_ms = 0
        self.size = 0
        """Bytes kept."""
        self.dropped_groups = 0
        """Groups that went unacknowledged because of the limits."""

    @property
    def wrap_ms(self) -> int:
        """What a hub that now gets :meth:`replay` does not see of our unwrapped times: a multiple
        of 2^32 ms, not 0 when a publisher has been on for 49 days."""
        first = self._groups[0].first_ms if self._groups else None
        return (self._now_ms if first is None else first) // _WRAP_MS * _WRAP_MS

    def add(self, media: Media) -> bytes:
        """Keeps a message; returns it as an FLV tag for the hub."""
        tag = encode_tag(media.type_id, media.timestamp_ms, media.payload)
        kind = self._inspector.classify(media.type_id, media.payload)
        is_frame = kind in (MessageClass.RANDOM_ACCESS, MessageClass.PICTURE, MessageClass.SOUND)
        if is_frame:
            self._now_ms = self._times.unwrap(media.timestamp_ms)
        if self._begins_group(kind):
            self._groups.append(
                _Group(
                    _Headers(self._headers.script, self._headers.video, self._headers.audio),
                    self._clock(),
                )
            )
            self._skipping = False
        self._remember_header(kind, media.payload)
        if not self._skipping:
            self._keep(tag, is_frame=is_frame)
        return tag

    def replay(self) -> list[bytes]:
        """Headers and everything kept, as FLV tags, for a hub that starts anew."""
        if not self._groups:
            return self._headers.tags(self._now_ms)
        first = self._groups[0]
        start = self._now_ms if first.first_ms is None else first.first_ms
        tags = first.headers.tags(start)
        for group in self._groups:
            tags += group.tags
        return tags

    def acknowledge(self, dts: int) -> None:
        """Forgets what lies before the last random access point at or before ``dts`` (90 kHz)."""
        until_ms = dts // TICKS_PER_MS - _SLACK_MS
        while len(self._groups) > 1:
            head, following = self._groups[0], self._groups[1]
            if following.first_ms is None or following.first_ms > until_ms:
                return
            if head.last_ms > until_ms:
                return  # sound that runs ahead of the pictures
            self._forget_first()

    def _begins_group(self, kind: MessageClass) -> bool:
        if kind is MessageClass.RANDOM_ACCESS:
            # Headers alone are no group: they belong to the picture that follows.
            return not self._groups or self._groups[-1].first_ms is not None
        if not self._groups and not self._skipping:
            return True
        if kind is not MessageClass.SOUND or self._headers.video:
            return False
        if not self._groups:
            return True
        first = self._groups[-1].first_ms
        return first is not None and self._now_ms - first >= _AUDIO_GROUP_MS

    def _remember_header(self, kind: MessageClass, payload: bytes) -> None:
        if kind is MessageClass.SCRIPT:
            self._headers.script = payload
        elif kind is MessageClass.VIDEO_CONFIG:
            self._headers.video = payload
        elif kind is MessageClass.AUDIO_CONFIG:
            self._headers.audio = payload

    def _keep(self, tag: bytes, *, is_frame: bool) -> None:
        group = self._groups[-1]
        if is_frame:
            if group.first_ms is None:
                group.first_ms = group.last_ms = self._now_ms
            group.last_ms = max(group.last_ms, self._now_ms)
        group.tags.append(tag)
        group.size += len(tag)
        self.size += len(tag)
        oldest = self._clock() - self._max_seconds
        while self.size > self._max_bytes or self._groups[0].arrived_at < oldest:
            self._forget_first()
            self.dropped_groups += 1
            if not self._groups:
                # One group alone is over the limit: nothing can be kept before the next begins.
                self._skipping = True
                return

    def _forget_first(self) -> None:
        self.size -= self._groups.popleft().size
