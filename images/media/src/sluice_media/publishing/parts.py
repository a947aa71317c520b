"""What a leg is made of, whichever container it has: encoded parts in their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from sluice_media.formats.codecs.aac import FRAME_LIMIT_BYTES

_SOUND_GROUP_TICKS = 90_000
_NOTICE_SECONDS = 0.1
"""Half of the shortest ``stallMilliseconds``."""


@dataclass(slots=True)
class Part:
    """Not frozen for the sake of speed: there is one for every frame."""

    data: bytes = field(repr=False)
    dts: int | None = None
    """Source DTS (90 kHz, unwrapped); None for what is no frame."""
    random_access: bool = False
    """Decoding can start here. Of a stream without video: one sound a second."""
    header: str = ""
    """Not empty: a decoder needs this part first; a later one of the same name replaces it."""
    entry: Part | None = None
    """The header that who starts at this random access point needs; None: the last of each."""


@dataclass(slots=True, frozen=True)
class LegForm:
    """What the keeper of a leg must know of its container."""

    container: Literal["flv", "units"]
    content_type: str
    preamble: bytes
    """Opens every body; not empty, because aiohttp holds a request back until there is a byte."""
    wrap_ticks: int = 0
    """The container's times wrap there, 90 kHz; 0: never."""


class SoundEntries:
    """Where groups begin in a stream that has no video."""

    def __init__(self) -> None:
        self._last: int | None = None

    def begins(self, dts: int) -> bool:
        if self._last is not None and 0 <= dts - self._last < _SOUND_GROUP_TICKS:
            return False
        self._last = dts
        return True


class PictureNotices:
    """When the hub has to hear that a picture is on its way here. Parts go to the hub only when
    they are complete; a large picture on a slow uplink would look like a publisher that is gone.
    ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bytes = 0
        self._told_at = clock()

    def due(self, unfinished_bytes: int) -> bool:
        """Take how many bytes have come that are no complete part, each time that some have come;
        return whether to send a notice now."""
        now = self._clock()
        before, self._bytes = self._bytes, unfinished_bytes
        if unfinished_bytes <= before:
            self._told_at = now  # a part is complete: the hub has it
            return False
        # More bytes than a frame of sound has are those of a picture.
        if unfinished_bytes <= FRAME_LIMIT_BYTES or now - self._told_at < _NOTICE_SECONDS:
            return False
        self._told_at = now
        return True
