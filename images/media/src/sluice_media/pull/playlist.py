"""Rewriting of HLS playlists, so that every reference in them leads to the proxy.

In: a playlist and a function that returns a new name for each URI. Out: the playlist without any
URI of the source, and with the best variant only. Source: RFC 8216, clauses 4 and 6.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable

MAX_PLAYLIST_BYTES = 1 << 20
_MARK = b"#EXTM3U"
_URI = re.compile(r'\bURI\s*=\s*("[^"]*"|[^,"\s]*)')
_BANDWIDTH = re.compile(r"[:,]\s*BANDWIDTH=(\d{1,12})")
_VARIANT = "#EXT-X-STREAM-INF"
_DROPPED = ("#EXT-X-I-FRAME-STREAM-INF", "#EXT-X-SESSION-DATA", "#EXT-X-CONTENT-STEERING")


def is_playlist(head: bytes) -> bool:
    """Return whether a body with these first bytes is a playlist (4.3.1.1)."""
    return head.startswith((_MARK, b"\xef\xbb\xbf" + _MARK))


def rewrite_playlist(text: str, rename: Callable[[str], str]) -> str:
    """Return the rewritten playlist.

    ``rename`` is called with each URI as it is written. It may raise ValueError to refuse it.
    """
    lines = [line.strip() for line in text.lstrip("\ufeff").splitlines()]
    best = _best_variant(lines)
    kept: list[str] = []
    skips = False
    for at, line in enumerate(lines):
        if not line:
            continue
        if not line.startswith("#"):
            if not skips:
                kept.append(rename(line))
            skips = False
        elif line.startswith(_VARIANT):
            skips = at != best
            if not skips:
                kept.append(line)
        elif not line.startswith(_DROPPED):
            kept.append(_URI.sub(lambda m: f'URI="{rename(m[1].strip(chr(34)))}"', line))
    return "\n".join(kept) + "\n"


def _best_variant(lines: list[str]) -> int:
    """Return the line of the variant with the highest bandwidth: FFmpeg would open all of them."""
    best, highest = -1, -1
    for at, line in enumerate(lines):
        if line.startswith(_VARIANT):
            found = _BANDWIDTH.search(line)
            bandwidth = int(found[1]) if found else 0
            if bandwidth > highest:
                best, highest = at, bandwidth
    return best
