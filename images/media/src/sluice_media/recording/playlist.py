"""The HLS media playlist of a file's chunks, which plays a recording before its MP4 exists (pure).

In: the chunks of one file in the store, by attempt. Out: the playlist of RFC 8216, EVENT while the
file grows, VOD with an end once it is closed. Chunks begin with PAT and PMT and are cut on any
unit, so INDEPENDENT-SEGMENTS is set only for a closed file in which all chunks are independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sluice_media.contract import TimelineAnchor
from sluice_media.formats.units import TICKS_PER_SECOND
from sluice_media.recording.journal import ChunkEntry, GapEntry
from sluice_media.recording.merge import MergedFile

TARGET_SECONDS = 7
"""Chunks end at 6 s, or by the clock at 7 s. The tag must not change while a player reloads."""
_JOINT_TICKS = TICKS_PER_SECOND
_ANCHOR_TICKS = TICKS_PER_SECOND // 2
"""An anchor belongs to the chunk that begins there; other tracks may begin a little earlier."""


@dataclass(slots=True, frozen=True)
class PlaylistChunk:
    """One chunk in a playlist."""

    uri: str
    attempt: str
    entry: ChunkEntry
    is_partly_known: bool = False
    """True when it begins with units that another attempt's earlier chunk has already."""

    @property
    def seconds(self) -> float:
        """Duration of its first track, which is video if there is any."""
        span = self.entry.tracks.get(min(self.entry.tracks, default=0))
        if span is None:
            return max(0, self.entry.end_dts - self.entry.first_dts) / TICKS_PER_SECOND
        return max(0, span.end_dts - span.first_dts) / TICKS_PER_SECOND


def media_playlist(
    chunks: Sequence[PlaylistChunk],
    *,
    gaps: Iterable[GapEntry] = (),
    anchors: Sequence[TimelineAnchor] = (),
    closed: bool,
) -> str:
    """Return the playlist of ``chunks``, which are in playing order."""
    longest = max((chunk.seconds for chunk in chunks), default=0.0)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:3",
        f"#EXT-X-TARGETDURATION:{max(TARGET_SECONDS, math.floor(longest + 0.5))}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        f"#EXT-X-PLAYLIST-TYPE:{'VOD' if closed else 'EVENT'}",
    ]
    if closed and chunks and all(chunk.entry.independent for chunk in chunks):
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    gap_dts = [gap.dts for gap in gaps]
    before: PlaylistChunk | None = None
    written: TimelineAnchor | None = None
    for chunk in chunks:
        broken = before is not None and _is_joint(before, chunk, gap_dts)
        if broken:
            lines.append("#EXT-X-DISCONTINUITY")
        anchor = _anchor_at(anchors, chunk.entry.first_dts)
        if anchor is not None and (broken or anchor is not written):
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_moment(anchor, chunk.entry.first_dts)}")
            written = anchor
        lines += (f"#EXTINF:{chunk.seconds:.3f},", chunk.uri)
        before = chunk
    if closed:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def merged_playlist(
    file: MergedFile, uri: Callable[[str, str], str], *, closed: bool | None = None
) -> str:
    """Return the playlist of a merged file.

    ``uri`` returns a chunk's URI from its attempt and name. ``closed`` overrides the journals."""
    chunks = [
        PlaylistChunk(
            uri(chunk.attempt, chunk.entry.name),
            chunk.attempt,
            chunk.entry,
            chunk.skip_through is not None,
        )
        for chunk in file.chunks
    ]
    is_closed = file.closed if closed is None else closed
    return media_playlist(chunks, gaps=file.gaps, anchors=file.anchors, closed=is_closed)


def relative_to(own: str) -> Callable[[str, str], str]:
    """Return a function for chunks' URIs relative to the folder of the attempt ``own``."""

    def uri(attempt: str, name: str) -> str:
        return name if attempt == own else f"../{attempt}/{name}"

    return uri


def _is_joint(before: PlaylistChunk, chunk: PlaylistChunk, gap_dts: Iterable[int]) -> bool:
    """Return whether there must be a discontinuity between the two chunks."""
    if before.attempt != chunk.attempt or chunk.is_partly_known:
        return True
    first, last = before.entry.first_dts, chunk.entry.first_dts
    if last - before.entry.end_dts > _JOINT_TICKS:
        return True
    return any(first < dts <= last for dts in gap_dts)


def _anchor_at(anchors: Sequence[TimelineAnchor], dts: int) -> TimelineAnchor | None:
    """Return the anchor in force at the beginning of a chunk."""
    found = None
    for anchor in anchors:
        if found is None or anchor.dts <= dts + _ANCHOR_TICKS:
            found = anchor
    return found


def _moment(anchor: TimelineAnchor, dts: int) -> str:
    moment: datetime = anchor.utc + timedelta(seconds=(dts - anchor.dts) / TICKS_PER_SECOND)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
