"""Screenshots: the newest keyframe as JPEG, made when somebody asks for it.

In: the newest keyframe of the session, as a small MP4. Out: a picture with its age. FFmpeg decodes
it in a process of its own, so a picture that crashes the decoder costs only the screenshot. One
picture costs about 0.1 s of CPU, and at most one is made per interval.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from sluice_media.ffmpeg.argv import screenshot_argv
from sluice_media.ffmpeg.process import ChildError, start_child

_TIMEOUT_SECONDS = 5.0
_MAX_BYTES = 4 << 20
_RETRY_SECONDS = 1.0
_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class Screenshot:
    """One JPEG."""

    data: bytes
    taken_at: float
    """Unix time in seconds."""
    etag: str

    @property
    def taken_utc(self) -> datetime:
        return datetime.fromtimestamp(self.taken_at, UTC)

    def age_seconds(self, now: float) -> float:
        return max(0.0, now - self.taken_at)


@dataclass(slots=True, frozen=True)
class Keyframe:
    """A picture that can be decoded alone."""

    mp4: bytes
    """Init segment and the part that begins with the keyframe."""
    is_live: bool
    """False when the session has ended."""


class Screenshots:
    """The newest screenshot of a stream.

    ``keyframe`` returns the newest keyframe; None when the session has none, or there is no
    session."""

    def __init__(self, keyframe: Callable[[], Keyframe | None]) -> None:
        self._keyframe = keyframe
        self._newest: Screenshot | None = None
        self._making = asyncio.Lock()
        self._tried_at = float("-inf")

    @property
    def newest(self) -> Screenshot | None:
        return self._newest

    async def get(self, interval_seconds: float, *, keeps_last: bool) -> Screenshot | None:
        """Return the newest screenshot, at most ``interval_seconds`` old while the stream is on
        air. Off air: the last one if ``keeps_last``, else None."""
        async with self._making:
            keyframe = self._keyframe()
            if keyframe is None or not keyframe.is_live:
                return self._newest if keeps_last else None
            newest, now = self._newest, time.time()
            if newest is not None and newest.age_seconds(now) < interval_seconds:
                return newest
            if time.monotonic() - self._tried_at >= _RETRY_SECONDS:
                await self._make(keyframe)
            return self._newest

    async def keep(self) -> None:
        """Make a screenshot of the last keyframe, because the session ends."""
        async with self._making:
            keyframe = self._keyframe()
            if keyframe is not None:
                await self._make(keyframe)

    async def _make(self, keyframe: Keyframe) -> None:
        self._tried_at = time.monotonic()
        try:
            data = await _decode(keyframe.mp4)
        except ChildError as error:
            _log.warning("screenshot_failed", error=str(error))
            return
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        self._newest = Screenshot(data, time.time(), etag)


async def _decode(mp4: bytes) -> bytes:
    """Return the first picture as JPEG. Raises ChildError."""
    async with start_child(screenshot_argv(), stdin=True, stdout=True, nice=5) as child:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await child.feed(mp4)
                await child.close_stdin()
                data = await child.read_stdout(_MAX_BYTES)
                await child.finish()
        except TimeoutError:
            raise ChildError(f"ffmpeg took longer than {_TIMEOUT_SECONDS:g} s") from None
    if not data:
        raise ChildError("ffmpeg made no picture")
    return data
