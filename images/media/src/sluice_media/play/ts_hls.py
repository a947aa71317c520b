"""Playlists of HLS with MPEG-TS (RFC 8216): table in, text out.

Every segment has all tracks, and is listed when all of them are complete. With ``with_durations``,
every segment URI has the query ``duration_sec=<EXTINF>``.
"""

from __future__ import annotations

from sluice_media.formats.units import TICKS_PER_SECOND
from sluice_media.play.hls import missing, program_date_time, stream_attributes
from sluice_media.play.mpegts import carried_formats
from sluice_media.play.segment import Segment
from sluice_media.play.table import SegmentTable

VERSION = 3
"""Protocol version that durations with decimals need (section 7)."""
DURATIONS_QUERY = "get_duration_sec=true"


def multivariant(table: SegmentTable, *, with_durations: bool = False) -> str:
    """Return the multivariant playlist. The table must be published."""
    formats = carried_formats(table.formats[table.newest_format])
    query = f"?{DURATIONS_QUERY}" if with_durations else ""
    attributes = ",".join(stream_attributes(table, formats))
    return (
        f"#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-STREAM-INF:{attributes}\n"
        f"{table.session}/mpegts.m3u8{query}\n"
    )


class TsPlaylist:
    """Media playlist with MPEG-TS segments, which remembers the text of closed segments."""

    def __init__(
        self, table: SegmentTable, *, with_durations: bool = False, end_list: bool = True
    ) -> None:
        self._table = table
        self._with_durations = with_durations
        self._end_list = end_list
        self._state: tuple[int, int | None, int] | None = None
        """Oldest segment, newest complete segment and changes of the window, for the body."""
        self._texts: dict[int, str] = {}
        self._body = ""

    def render(self) -> str:
        """Return the playlist. The table must be published. There is no segment in the playlist
        while another track than the reference track is not complete."""
        table = self._table
        segments = table.segments
        newest = next((s.number for s in reversed(segments) if s.is_closed), None)
        state = (segments[0].number, newest, table.rewrites)
        if self._state != state:
            self._state = state
            self._body = self._segments()
        first = segments[0]
        head = (
            f"#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{table.target_seconds}\n"
            f"#EXT-X-MEDIA-SEQUENCE:{first.number}\n"
            f"#EXT-X-DISCONTINUITY-SEQUENCE:{first.format_number}\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        )
        tail = "#EXT-X-ENDLIST\n" if table.is_ended and self._end_list else ""
        return head + self._body + tail

    def _segments(self) -> str:
        texts: dict[int, str] = {}
        parts: list[str] = []
        before: Segment | None = None
        for segment in self._table.segments:
            if not segment.is_closed:
                break
            if before is not None and (
                segment.number != before.number + 1 or segment.format_number != before.format_number
            ):
                parts += [entry.text for entry in missing(before, segment, self._uri)]
                # The discontinuity sequence number is the format number.
                change = segment.format_number - before.format_number
                parts.append("#EXT-X-DISCONTINUITY\n" * change)
            text = self._texts.get(segment.number) or self._text(segment)
            texts[segment.number] = text
            parts.append(text)
            before = segment
        self._texts = texts
        return "".join(parts)

    def _text(self, segment: Segment) -> str:
        duration = extinf(segment.duration)
        query = f"?duration_sec={duration}" if self._with_durations else ""
        date = program_date_time(segment, segment.start)
        return f"{date}#EXTINF:{duration},\n{self._uri(segment.number)}{query}\n"

    def _uri(self, number: int) -> str:
        return f"ts/{number}.ts"


def extinf(ticks: int) -> str:
    """Return a duration in seconds without trailing zeros, as Gcore prints it: ``2``, ``1.96``."""
    return f"{ticks / TICKS_PER_SECOND:.5f}".rstrip("0").rstrip(".")
