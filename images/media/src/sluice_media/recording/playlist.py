"""The HLS media playlist of a file's chunks: a recording can be watched before it is an MP4 (pure).

Comes in: what is in the store of one file, attempt by attempt. Goes out: text as RFC 8216 has it,
EVENT while the file grows, VOD with an end once it is closed. Chunks begin with PAT and PMT and
are cut on any unit, so INDEPENDENT-SEGMENTS is said only of a closed file in which it is true of
each of them.
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
"""Chunks end at 6 s, or by the clock at 7 s. The tag must not change while a player looks."""
_JOINT_TICKS = TICKS_PER_SECOND
_ANCHOR_TICKS = TICKS_PER_SECOND // 2
"""An anchor belongs to the chunk that begins there; other tracks may begin a little earlier."""


@dataclass(slots=True, frozen=True)
class PlaylistChunk:
    uri: str
    attempt: str
    entry: ChunkEntry
    is_partly_known: bool = False
    """It begins with units that another attempt's chunk before it holds already."""

    @property
    def seconds(self) -> float:
        """How long it plays: its first track's (video's) share of it."""
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
    """The playlist of ``chunks`` in order of playing."""
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
    told: TimelineAnchor | None = None
    for chunk in chunks:
        broken = before is not None and _is_joint(before, chunk, gap_dts)
        if broken:
            lines.append("#EXT-X-DISCONTINUITY")
        anchor = _anchor_at(anchors, chunk.entry.first_dts)
        if anchor is not None and (broken or anchor is not told):
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_moment(anchor, chunk.entry.first_dts)}")
            told = anchor
        lines += (f"#EXTINF:{chunk.seconds:.3f},", chunk.uri)
        before = chunk
    if closed:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def merged_playlist(
    file: MergedFile, uri: Callable[[str, str], str], *, closed: bool | None = None
) -> str:
    """The playlist of a file that several attempts made. ``uri``: of a chunk, from its attempt and
    its name; ``closed``: when something else than the journals says so."""
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
    """URIs of chunks as a playlist in the folder of the attempt ``own`` names them."""

    def uri(attempt: str, name: str) -> str:
        return name if attempt == own else f"../{attempt}/{name}"

    return uri


def _is_joint(before: PlaylistChunk, chunk: PlaylistChunk, gap_dts: Iterable[int]) -> bool:
    """Whether a player must not take the two for one stream."""
    if before.attempt != chunk.attempt or chunk.is_partly_known:
        return True
    first, last = before.entry.first_dts, chunk.entry.first_dts
    if last - before.entry.end_dts > _JOINT_TICKS:
        return True
    return any(first < dts <= last for dts in gap_dts)


def _anchor_at(anchors: Sequence[TimelineAnchor], dts: int) -> TimelineAnchor | None:
    """The anchor in force where a chunk begins."""
    found = None
    for anchor in anchors:
        if found is None or anchor.dts <= dts + _ANCHOR_TICKS:
            found = anchor
    return found


def _moment(anchor: TimelineAnchor, dts: int) -> str:
    moment: datetime = anchor.utc + timedelta(seconds=(dts - anchor.dts) / TICKS_PER_SECOND)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
