"""A parser between an RTSP source and FFmpeg that stops redirects until media flows.

FFmpeg follows an RTSP 3xx by dialling the new place itself, without any check. In: the bytes of
both directions. Out: the bytes that may go on to FFmpeg, or :class:`RtspRefusedError`. The parser
is strict: a message that FFmpeg reads differently would be a way around the check. Source: RFC
2326, clauses 4, 6, 7 and 10.12.
"""

from __future__ import annotations

import re

MAX_HEAD_BYTES = 16 << 10
MAX_BODY_BYTES = 256 << 10
_STATUS = re.compile(rb"RTSP/1\.0 ([1-5][0-9]{2})(?: [^\r\n]*)?")
_HEADER = re.compile(rb"[A-Za-z0-9-]+[ \t]*:[^\r\n]*")


class RtspRefusedError(ValueError):
    """A source whose answer must not reach FFmpeg. ``status`` is 0 for an invalid message."""

    def __init__(self, status: int) -> None:
        super().__init__(f"RTSP status {status}")
        self.status = status


class RtspWatch:
    """The parser of one connection."""

    def __init__(self) -> None:
        self._data = b""
        self._plays = False
        self.status = 0
        """Status of the last answer."""

    def sent(self, data: bytes) -> None:
        """Take bytes that FFmpeg sends. FFmpeg writes each request at once."""
        if data.startswith(b"PLAY "):
            # After PLAY, FFmpeg treats a 3xx as an error and does not follow it.
            self._plays = True

    def received(self, data: bytes) -> bytes:
        """Take bytes that the source sends and return those that may go on.

        Raise RtspRefusedError.
        """
        self._data += data
        if self._plays:
            data, self._data = self._data, b""
            return data
        done = 0
        while (end := self._message(done)) is not None:
            done = end
        passed, self._data = self._data[:done], self._data[done:]
        return passed

    def _message(self, at: int) -> int | None:
        """Return the end of the message or frame that begins at ``at``, None when incomplete."""
        data = self._data
        if at >= len(data):
            return None
        if data[at] == 0x24:  # "$": an interleaved frame (10.12)
            end = at + 4 + int.from_bytes(data[at + 2 : at + 4], "big")
            return end if len(data) >= max(end, at + 4) else None
        head_end = data.find(b"\r\n\r\n", at)
        if head_end < 0:
            if len(data) - at > MAX_HEAD_BYTES:
                raise RtspRefusedError(0)
            return None
        status, *headers = data[at:head_end].split(b"\r\n")
        found = _STATUS.fullmatch(status)
        if found is None or not all(_HEADER.fullmatch(header) for header in headers):
            raise RtspRefusedError(0)
        self.status = int(found[1])
        if 300 <= self.status < 400:
            raise RtspRefusedError(self.status)
        end = head_end + 4 + _length(headers)
        return end if len(data) >= end else None


def _length(headers: list[bytes]) -> int:
    values = [
        value.strip()
        for name, _, value in (header.partition(b":") for header in headers)
        if name.strip().lower() == b"content-length"
    ]
    if not values:
        return 0
    if len(values) > 1 or not re.fullmatch(rb"[0-9]{1,6}", values[0]):
        raise RtspRefusedError(0)
    length = int(values[0])
    if length > MAX_BODY_BYTES:
        raise RtspRefusedError(0)
    return length
