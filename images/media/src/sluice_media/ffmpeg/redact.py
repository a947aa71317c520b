"""Removal of everything that may be a key from the output of a child process.

Lines of FFmpeg's standard error come in. The same lines go out, with only scheme, host and port
left of a URL. FFmpeg quotes the URL that failed, and the key is a part of the URL: of the path
(RTMP), the query (SRT) or the userinfo (others).
"""

from __future__ import annotations

import re
from collections import deque

_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[^\s/@'\"]*@)?(?P<host>\[[^\]\s]*\]|[^\s/?#:'\",]*)"
    r"(?P<port>:\d+)?(?P<rest>[/?#][^\s'\"]*)?",
    re.IGNORECASE,
)
_ASSIGNMENT = re.compile(
    r"(?P<name>\b(?:pass(?:word|phrase)?|token|secret|streamid|stream_?key|key)\b)"
    r"(?P<sep>\s*[=:]\s*)(?P<value>[^\s&,;'\"]+)",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r" @ 0x[0-9a-f]+")
_MAX_LINE = 500


def _url(match: re.Match[str]) -> str:
    rest = "/..." if match["rest"] not in (None, "", "/") else match["rest"] or ""
    return f"{match['scheme']}://{match['host']}{match['port'] or ''}{rest}"


def redact(line: str) -> str:
    """Return a line without keys, memory addresses and control characters, at most 500
    characters."""
    line = "".join(c if c.isprintable() else " " for c in line)
    line = _URL.sub(_url, line)
    line = _ASSIGNMENT.sub(lambda m: f"{m['name']}{m['sep']}...", line)
    line = _ADDRESS.sub("", line).strip()
    return line if len(line) <= _MAX_LINE else line[: _MAX_LINE - 3] + "..."


class StderrTail:
    """Last lines of a child's output, redacted."""

    def __init__(self, lines: int = 20) -> None:
        self._lines: deque[str] = deque(maxlen=lines)

    def feed(self, raw: bytes) -> None:
        """Add a line of the child's output."""
        line = redact(raw.decode("utf-8", "replace"))
        if line:
            self._lines.append(line)

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)

    @property
    def last(self) -> str:
        """Last line; empty when there was no output."""
        return self._lines[-1] if self._lines else ""
