"""Playlists of LL-HLS (draft-ietf-hls-rfc8216bis): table in, text out.

Playlists are pure functions of the table. The lines of a closed segment never change, and are
written once. A new part then costs only the text of the last segments and one join.

URIs are relative to the playlist: ``index.m3u8`` stands beside the session's folder, the media
playlists are in it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from sluice_media.formats.cmaf import codec_string
from sluice_media.formats.cmaf.video_facts import video_facts
from sluice_media.formats.units import TICKS_PER_SECOND, TrackFormat, TrackKind
from sluice_media.play.cutter import PART_TICKS, reference_track
from sluice_media.play.segment import Segment, TrackSegment, number_of, track_name, utc_text
from sluice_media.play.table import SegmentTable

VERSION = 9
"""Protocol version that EXT-X-SKIP needs (section 8)."""
PART_TARGET = PART_TICKS / TICKS_PER_SECOND
PART_HOLD_BACK = 3 * PART_TARGET
HOLD_BACK_TARGETS = 3
SKIP_TARGETS = 6
"""Skip boundary in target durations, the minimum (4.4.3.8)."""
SEGMENTS_WITH_PARTS = 3
_SHORTEST = TICKS_PER_SECOND // 1_000
"""Duration of a missing segment when nothing is missing on the timeline: 1 ms."""
_VIDEO_RANGES = {16: "PQ", 18: "HLG"}
"""VIDEO-RANGE by the code point of the transfer function (4.4.6.2)."""


def seconds(ticks: int) -> str:
    """Return a duration as playlists print it."""
    return f"{ticks / TICKS_PER_SECOND:.5f}"


@dataclass(slots=True, frozen=True)
class Entry:
    """A closed or missing segment in a media playlist."""

    number: int
    ticks: int
    change: str
    """Lines before the segment when its format differs from that of the segment before."""
    text: str
    format_number: int | None
    """None for a missing segment."""


def multivariant(table: SegmentTable) -> str:
    """Return the multivariant playlist. The table must be published."""
    formats = table.formats[table.newest_format]
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    video = [f for f in formats if f.kind is TrackKind.VIDEO]
    audio = [f for f in formats if f.kind is TrackKind.AUDIO]
    if video:
        lines += [_audio_rendition(table, f, is_default=f is audio[0]) for f in audio]
    # Without video, the first audio track is the variant.
    chosen = [*video, *audio] if video else audio[:1]
    attributes = stream_attributes(table, tuple(chosen))
    if video and audio:
        attributes.append('AUDIO="audio"')
    name = track_name(reference_track(formats))
    lines.append(f"#EXT-X-STREAM-INF:{','.join(attributes)}")
    lines.append(f"{table.session}/{name}.m3u8")
    return "\n".join(lines) + "\n"


def stream_attributes(table: SegmentTable, formats: tuple[TrackFormat, ...]) -> list[str]:
    """Return the attributes of EXT-X-STREAM-INF for a variant with these tracks (4.4.6.2)."""
    video = [f for f in formats if f.kind is TrackKind.VIDEO]
    rates = {f.track: table.rate(f.track) or (0, 0) for f in formats}
    audio_rates = [rates[f.track] for f in formats if f.kind is TrackKind.AUDIO]
    video_rates = [rates[f.track] for f in video]
    # A client plays one rendition of the group: the largest one counts.
    peak, mean = (
        sum(rate[i] for rate in video_rates) + max((rate[i] for rate in audio_rates), default=0)
        for i in (0, 1)
    )
    codecs = list(dict.fromkeys(codec_string(f) for f in formats))
    attributes = [f"BANDWIDTH={max(peak, 1)}", f"AVERAGE-BANDWIDTH={max(mean, 1)}"]
    attributes.append(f'CODECS="{",".join(codecs)}"')
    for track_format in video:
        facts = video_facts(track_format)
        attributes.append(f"RESOLUTION={facts.display_width}x{track_format.height}")
        if facts.frame_rate:
            attributes.append(f"FRAME-RATE={facts.frame_rate:.3f}")
        if facts.colour:
            attributes.append(f"VIDEO-RANGE={_VIDEO_RANGES.get(facts.colour[1], 'SDR')}")
    return attributes


def _audio_rendition(table: SegmentTable, track_format: TrackFormat, *, is_default: bool) -> str:
    name = track_name(track_format.track)
    attributes = [
        "TYPE=AUDIO",
        'GROUP-ID="audio"',
        f'NAME="Audio {track_format.track}"',
        f"DEFAULT={'YES' if is_default else 'NO'}",
        "AUTOSELECT=YES",
    ]
    if track_format.channels:
        attributes.append(f'CHANNELS="{track_format.channels}"')
    attributes.append(f'URI="{table.session}/{name}.m3u8"')
    return f"#EXT-X-MEDIA:{','.join(attributes)}"


class MediaPlaylist:
    """Media playlist of one track, which remembers the text of closed segments."""

    def __init__(self, table: SegmentTable, track: int, *, end_list: bool = True) -> None:
        self._table = table
        self._track = track
        self._name = track_name(track)
        self._end_list = end_list
        """True to write EXT-X-ENDLIST when the session is over."""
        self._entries: list[Entry] = []
        """Closed and missing segments without parts, oldest first."""
        self._recent: list[Segment] = []
        """The segments behind the entries."""
        self._state = (-1, -1)
        """Changes of the table and number of the newest segment, for the entries."""
        self._rewrites = -1
        self._old_text = ""

    def render(self, *, skip: bool = False) -> str:
        """Return the playlist; with ``skip``, a delta update if it can be shorter (6.2.5.1).

        The table must be published.
        """
        table = self._table
        last = table.last(self._track)
        newest = last[0] if last else -1
        if self._state != (table.structure, newest):
            self._state = (table.structure, newest)
            self._read(newest)
        skipped = self._skippable() if skip else 0
        lines = self._header(skipped)
        if skipped:
            lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
            old = "".join(e.change + e.text for e in self._entries[skipped:])
        else:
            old = self._old_text
        is_over = table.is_ended and self._end_list
        recent = self._recent_text()
        tail = ["#EXT-X-ENDLIST"] if is_over else self._tail()
        return "\n".join(lines) + "\n" + old + recent + "".join(line + "\n" for line in tail)

    def _read(self, newest: int) -> None:
        """Bring the entries up to date with the table, whose last segment with parts is
        ``newest``."""
        table, entries = self._table, self._entries
        if self._rewrites != table.rewrites:
            self._rewrites = table.rewrites
            entries.clear()
        segments = table.segments
        is_changed = self._drop_old(segments[0].number if segments else None)
        if not (table.is_ended and self._end_list):
            newest -= SEGMENTS_WITH_PARTS
        before = table.get(entries[-1].number) if entries else None
        begin = bisect_right(segments, entries[-1].number, key=number_of) if entries else 0
        position = begin
        for position in range(begin, len(segments) + 1):
            if position == len(segments):
                break
            segment = segments[position]
            if not entries and table.format_of(self._track, segment.format_number) is None:
                continue  # the track came later
            if segment.number > newest or not self._is_closed(segment):
                break
            if before is not None:
                entries += missing(before, segment, self._uri)
            entries.append(self._entry(before, segment))
            before, is_changed = segment, True
        self._recent = segments[position:]
        if is_changed:
            first = entries[0].text if entries else ""
            self._old_text = first + "".join(e.change + e.text for e in entries[1:])

    def _drop_old(self, oldest: int | None) -> bool:
        """Drop the entries before the number ``oldest``; None: all. Return whether there were."""
        entries = self._entries
        count = 0
        while count < len(entries) and (oldest is None or entries[count].number < oldest):
            count += 1
        del entries[:count]
        return count > 0

    def _entry(self, before: Segment | None, segment: Segment) -> Entry:
        return Entry(
            segment.number,
            self._ticks(segment),
            self._change(before, segment),
            self._closed_text(segment),
            segment.format_number,
        )

    def _header(self, skipped: int) -> list[str]:
        table = self._table
        target = table.target_seconds
        first_number, first_format = self._first()
        lines = [
            "#EXTM3U",
            f"#EXT-X-VERSION:{VERSION}",
            f"#EXT-X-TARGETDURATION:{target}",
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES"
            f",PART-HOLD-BACK={PART_HOLD_BACK:.2f},HOLD-BACK={HOLD_BACK_TARGETS * target}"
            f",CAN-SKIP-UNTIL={SKIP_TARGETS * target}",
            f"#EXT-X-PART-INF:PART-TARGET={PART_TARGET:.2f}",
            f"#EXT-X-MEDIA-SEQUENCE:{first_number}",
            f"#EXT-X-DISCONTINUITY-SEQUENCE:{first_format}",
            "#EXT-X-INDEPENDENT-SEGMENTS",
        ]
        if not skipped:
            lines.append(self._map(first_format))
        return lines

    def _first(self) -> tuple[int, int]:
        if self._entries:
            oldest = self._entries[0]
            return oldest.number, oldest.format_number or 0
        if self._recent:
            return self._recent[0].number, self._recent[0].format_number
        newest = self._table.segments[-1]
        return newest.number, newest.format_number

    def _skippable(self) -> int:
        """Return the number of segments before the skip boundary (4.4.5.2)."""
        rest = SKIP_TARGETS * self._table.target_seconds * TICKS_PER_SECOND
        rest -= sum(self._ticks(segment) for segment in self._recent)
        for index in range(len(self._entries) - 1, -1, -1):
            if rest <= 0:
                return index + 1
            rest -= self._entries[index].ticks
        return 0

    def _recent_text(self) -> str:
        table = self._table
        is_over = table.is_ended and self._end_list
        before = table.get(self._entries[-1].number) if self._entries else None
        parts: list[str] = []
        for segment in self._recent:
            if before is not None:
                parts += [entry.text for entry in missing(before, segment, self._uri)]
            parts.append(self._change(before, segment))
            before = segment
            track = segment.tracks.get(self._track)
            if track is not None and track.parts:
                parts.append(program_date_time(segment, track.start))
                if not is_over:
                    parts.append(self._part_lines(segment.number, track))
            if self._is_closed(segment):
                text = self._closed_text(segment)
                has_date = track is not None and bool(track.parts)
                parts.append(text.split("\n", 1)[1] if has_date else text)
        return "".join(parts)

    def _part_lines(self, number: int, track: TrackSegment) -> str:
        return "".join(
            # A single frame may last longer than a part. The limit holds for every part (4.4.4.9).
            f"#EXT-X-PART:DURATION={seconds(min(part.duration, PART_TICKS))}"
            f',URI="{self._name}/{number}.{index}.m4s"'
            f"{',INDEPENDENT=YES' if part.is_independent else ''}\n"
            for index, part in enumerate(track.parts)
        )

    def _tail(self) -> list[str]:
        """Return the hint to the next part and the reports of the other tracks."""
        table = self._table
        lines = []
        if not table.is_ended:
            number, index = self._next_part()
            lines.append(f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{self._name}/{number}.{index}.m4s"')
        for track in table.tracks:
            last = table.last(track)
            if track == self._track or last is None:
                continue
            part = f",LAST-PART={last[1] - 1}" if last[1] else ""
            uri = f"{track_name(track)}.m3u8"
            lines.append(f'#EXT-X-RENDITION-REPORT:URI="{uri}",LAST-MSN={last[0]}{part}')
        return lines

    def _next_part(self) -> tuple[int, int]:
        last = self._table.last(self._track)
        if last is None:
            return self._table.segments[-1].number, 0
        segment = self._table.get(last[0])
        if segment is not None and self._is_closed(segment):
            return last[0] + 1, 0
        return last

    def _is_closed(self, segment: Segment) -> bool:
        track = segment.tracks.get(self._track)
        return segment.is_published if track is None else track.is_closed

    def _ticks(self, segment: Segment) -> int:
        track = segment.tracks.get(self._track)
        return track.duration if track is not None and track.parts else segment.duration

    def _change(self, before: Segment | None, segment: Segment) -> str:
        """Return the lines for a new format. The discontinuity sequence number is the format
        number, so each format that was skipped counts, too."""
        if before is None or before.format_number >= segment.format_number:
            return ""
        count = segment.format_number - before.format_number
        lines = "#EXT-X-DISCONTINUITY\n" * count
        if self._table.format_of(self._track, segment.format_number) is None:
            return lines
        return f"{lines}{self._map(segment.format_number)}\n"

    def _map(self, format_number: int) -> str:
        return f'#EXT-X-MAP:URI="{self._name}/init.{format_number}.mp4"'

    def _closed_text(self, segment: Segment) -> str:
        track = segment.tracks.get(self._track)
        has_units = track is not None and bool(track.parts)
        start = track.start if track is not None and track.parts else segment.start
        gap = "" if has_units else "#EXT-X-GAP\n"
        return (
            f"{program_date_time(segment, start)}{gap}"
            f"#EXTINF:{seconds(self._ticks(segment))},\n{self._uri(segment.number)}\n"
        )

    def _uri(self, number: int) -> str:
        return f"{self._name}/{number}.m4s"


def missing(before: Segment, after: Segment, uri: Callable[[int], str]) -> list[Entry]:
    """Return entries with EXT-X-GAP for the segments that are missing between two (4.4.4.7).

    Media sequence numbers have no holes. The missing segments share the time between the two.
    """
    count = after.number - before.number - 1
    if count <= 0:
        return []
    end = before.start + before.duration
    most = after.target_seconds * TICKS_PER_SECOND
    ticks = min(max((after.start - end) // count, _SHORTEST), most)
    return [
        Entry(
            before.number + 1 + i,
            ticks,
            "",
            f"{program_date_time(before, end + i * ticks)}#EXT-X-GAP\n"
            f"#EXTINF:{seconds(ticks)},\n{uri(before.number + 1 + i)}\n",
            None,
        )
        for i in range(count)
    ]


def program_date_time(segment: Segment, media_time: int) -> str:
    """Return the line with the wall clock time of a media time in the segment (4.4.4.6)."""
    return f"#EXT-X-PROGRAM-DATE-TIME:{utc_text(segment.wall_us(media_time))}\n"
