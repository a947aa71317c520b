"""Transport stream demultiplexer: bytes in, track formats and access units out (sans-io).

The output has the form of the FLV demultiplexer's: video in length-prefixed NAL units, with the
parameter sets in the format and not in the units; raw AAC frames; times in 90 kHz, unwrapped.
Random access is read from the bitstream, because many multiplexers omit the indicator. Only packets
of 188 bytes and the first program are read.

Source: ISO/IEC 13818-1:2019, clause 2.4 (packets, PES, PSI), 2.14 and 2.17 (H.264 and HEVC).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator

from sluice_media.formats.errors import MediaError, UnsupportedCodec
from sluice_media.formats.events import DemuxEvent, Metadata
from sluice_media.formats.mpegts.demux_tracks import AudioTrack, Track
from sluice_media.formats.mpegts.packet_runs import MAX_RUN_PACKETS, run_packets, run_payload
from sluice_media.formats.mpegts.packets import PACKET_BYTES, PAYLOAD_BYTES
from sluice_media.formats.mpegts.pes_reader import (
    PES_HEAD_BYTES,
    TimestampClock,
    parse_pes_header,
    pes_bytes,
    start_of_payload,
)
from sluice_media.formats.mpegts.psi_reader import ProgramMap, ProgramReader, ProgramStream
from sluice_media.formats.mpegts.video_track import VideoTrack
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat

VIDEO_TRACK = 0
AUDIO_TRACK = 1
MAX_AUDIO_TRACKS = 8

_SYNC = 0x47
_LOCK = re.compile(rb"\x47(?=.{187}\x47.{187}\x47)", re.DOTALL)
"""Start of three consecutive packets: a single 0x47 occurs by chance every 256 bytes."""
_LOCK_BYTES = 2 * PACKET_BYTES + 1
_LAST_LOCK = re.compile(rb"\x47(?=.{187}(?:\x47.{187})?(?:\x47.{,187})?\Z)", re.DOTALL)
_MAX_SKIPPED_BYTES = 1 << 20
_NULL_PID = 0x1FFF
_NEXT_CONTROL = tuple(0x10 | (counter + 1) & 0xF for counter in range(16))
"""Fourth byte of the next packet by the present counter, if the next packet has only a payload."""


class _Stream:
    """One PID with media, and its PES packet in the making."""

    __slots__ = ("bounded", "codec", "expected", "headed", "limit", "open", "packet", "pid",
                 "track", "track_id", "utc_us")  # fmt: skip

    def __init__(self, pid: int, codec: Codec, track_id: int, track: Track) -> None:
        self.pid = pid
        self.codec = codec
        self.track_id = track_id
        self.track = track
        self.expected = -1
        """Fourth byte of the next plain packet; -1 before the first packet."""
        self.packet = bytearray()
        self.open = False
        """True from the start of a PES packet to its end."""
        self.headed = False
        """True when the head of the PES packet was read."""
        self.bounded = False
        """True when the head has a length."""
        self.limit = 0
        """Number of bytes at which :meth:`TsDemuxer._reached` is called."""
        self.utc_us = 0

    def start(self) -> None:
        """Begin a PES packet."""
        self.packet = bytearray()
        self.open, self.headed, self.bounded = True, False, False
        self.limit = PES_HEAD_BYTES


class TsDemuxer:
    """Demultiplexer of one source. It drops and counts damaged units, and flags the unit after
    them."""

    def __init__(self) -> None:
        self._data = b""
        self._at = 0
        self._utc_us = 0
        self._locked = False
        self._skipped = 0
        self._program = ProgramReader()
        self._map: ProgramMap | None = None
        self._streams: dict[int, _Stream] = {}
        self._clock = TimestampClock()
        self._formats: dict[int, TrackFormat] = {}
        self._dropped_before = 0
        self._ready: deque[DemuxEvent] = deque()
        self.continuity_errors = 0
        """Number of packets with a counter that does not continue."""
        self.sync_losses = 0
        """Number of places without the packet that should begin there."""
        self.transport_errors = 0
        """Number of packets that an earlier transport marked as damaged."""

    @property
    def formats(self) -> tuple[TrackFormat, ...]:
        """Formats in force, video first."""
        return tuple(self._formats[track] for track in sorted(self._formats))

    @property
    def left_out(self) -> str:
        """Codecs of the audio when Sluice carries none of them; empty otherwise."""
        return self._map.left_out if self._map is not None else ""

    @property
    def dropped_units(self) -> int:
        """Number of units without a configuration before them, and of broken or incomplete
        units."""
        return self._dropped_before + sum(s.track.dropped_units for s in self._streams.values())

    @property
    def unfinished_bytes(self) -> int:
        """Number of bytes of PES packets and NAL units that are not complete."""
        streams = self._streams.values()
        return sum(s.track.kept_bytes + (len(s.packet) if s.open else 0) for s in streams)

    def feed(self, data: bytes, utc_us: int = 0) -> Iterator[DemuxEvent]:
        """Take the next bytes, at any split; yield their events. ``utc_us`` is their time of
        arrival.

        The events are made while the iterator runs. Events that one iterator did not yield come
        from the next. A TrackFormat comes only when it differs from the one in force. A Metadata
        comes when the program's tracks change, and declares the kinds of media. Audio units never
        have RANDOM_ACCESS, because only the whole stream shows that there is no video.

        Raises UnsupportedCodec when the program has media but none that Sluice carries, and
        MediaError after 1 MiB without a transport stream.
        """
        self._data = self._data[self._at :] + data
        self._at = 0
        self._utc_us = utc_us
        return self._events(final=False)

    def flush(self) -> Iterator[DemuxEvent]:
        """Yield the last events, because the stream has ended; they include the last picture."""
        yield from self._events(final=True)
        for stream in self._streams.values():
            self._finish(stream)
        yield from self._taken()

    # ------------------------------------------------------------------ packets

    def _events(self, *, final: bool) -> Iterator[DemuxEvent]:
        yield from self._taken()
        while self._locked or self._lock(final=final):
            data, at = self._data, self._at
            last = len(data) - PACKET_BYTES
            # Most packets are plain ones in the middle of a PES packet, and come in runs. All
            # others go through _packet().
            streams, utc_us = self._streams, self._utc_us
            while at <= last:
                if data[at] != _SYNC:
                    break
                stream = streams.get(data[at + 1] << 8 | data[at + 2])
                if stream is not None and data[at + 3] == stream.expected and stream.open:
                    wanted = -(-(stream.limit - len(stream.packet)) // PAYLOAD_BYTES)
                    packets = min((last - at) // PACKET_BYTES + 1, wanted, MAX_RUN_PACKETS)
                    if packets > 1:
                        packets = run_packets(data, at, packets)
                    stream.packet += run_payload(data, at, packets)
                    at += packets * PACKET_BYTES
                    stream.expected = _NEXT_CONTROL[data[at - PACKET_BYTES + 3] & 0xF]
                    stream.utc_us = utc_us
                    if len(stream.packet) < stream.limit:
                        continue
                    self._at = at
                    self._reached(stream)
                else:
                    self._at = at = at + PACKET_BYTES
                    self._packet(data[at - PACKET_BYTES : at])
                yield from self._taken()
                if self._data is not data or self._streams is not streams:
                    break
            else:
                self._at = at
                return
            if self._data is data and at <= last and data[at] != _SYNC:
                self._at = at
                self._lose_sync()

    def _taken(self) -> Iterator[DemuxEvent]:
        ready = self._ready
        while ready:
            yield ready.popleft()

    def _lock(self, *, final: bool) -> bool:
        """Search for the next packet; return whether it was found, with enough packets to be
        sure."""
        data, at = self._data, self._at
        found = _LOCK.search(data, at)
        if found is None and final:
            found = _LAST_LOCK.search(data, max(at, len(data) - _LOCK_BYTES + 1))
        self._at = found.start() if found else max(at, len(data) - _LOCK_BYTES + 1)
        self._skipped += self._at - at
        if self._skipped > _MAX_SKIPPED_BYTES:
            self._skipped = 0
            raise MediaError("The bytes are not an MPEG transport stream.")
        self._locked = found is not None
        if self._locked:
            self._skipped = 0
        return self._locked

    def _lose_sync(self) -> None:
        self._locked = False
        self.sync_losses += 1
        for stream in self._streams.values():
            self._lose(stream)

    def _packet(self, packet: bytes) -> None:
        """Process a packet that is not a plain one of an open PES packet."""
        flags, control = packet[1], packet[3]
        pid = (flags & 0x1F) << 8 | packet[2]
        if pid == _NULL_PID:
            return
        if flags & 0x80:
            self.transport_errors += 1  # its PID may be wrong, too; the counters will show the loss
            return
        start, discontinuity = 4, False
        if control & 0x20:
            start = 5 + packet[4]
            discontinuity = packet[4] > 0 and bool(packet[5] & 0x80)
        has_payload = control & 0x10 and start < PACKET_BYTES and not control & 0xC0
        stream = self._streams.get(pid)
        if stream is not None:
            if has_payload:
                self._media(stream, packet, start, discontinuity)
            elif discontinuity:
                stream.track.lose()
        elif has_payload and pid in self._program.pids:
            for found in self._program.feed(
                pid, packet[start:], unit_start=bool(flags & 0x40), counter=control & 0xF
            ):
                self._remap(found)

    def _media(self, stream: _Stream, packet: bytes, start: int, discontinuity: bool) -> None:
        payload = packet[start:]
        unit_start = packet[1] & 0x40
        counter = packet[3] & 0xF
        if stream.expected >= 0 and counter != stream.expected & 0xF:
            repeated = (counter + 1) & 0xF == stream.expected & 0xF
            if repeated and stream.packet.endswith(payload) and not discontinuity:
                return  # 2.4.3.3: a packet may be sent twice
            self.continuity_errors += not discontinuity
            self._lose(stream)
        stream.expected = _NEXT_CONTROL[counter]
        if unit_start:
            self._end(stream, payload)
            stream.start()
        if discontinuity:
            stream.track.lose()
        if not stream.open:
            return
        stream.packet += payload
        stream.utc_us = self._utc_us
        if len(stream.packet) >= stream.limit:
            self._reached(stream)

    # ------------------------------------------------------------------ PES packets

    def _reached(self, stream: _Stream) -> None:
        """Read the head of a PES packet, or take the whole packet: it has reached its limit."""
        if not stream.headed:
            size = pes_bytes(stream.packet)
            if size is None:
                stream.open = False
                return
            stream.headed, stream.bounded = True, size > 0
            stream.limit = size or stream.track.max_pes_bytes
            if len(stream.packet) < stream.limit:
                return
        if stream.bounded:
            self._whole(stream)
        else:
            self._lose(stream)

    def _end(self, stream: _Stream, following: bytes = b"") -> None:
        """End the PES packet, because the next one begins with ``following`` or the stream has
        ended."""
        if not stream.open:
            return
        if stream.headed and not stream.bounded:
            start = start_of_payload(following)
            ends = None if start is None else stream.track.begins_unit(following, start)
            self._whole(stream, ends=ends)
        else:
            self._lose(stream)

    def _finish(self, stream: _Stream) -> None:
        """End the PID: take its last PES packet and units."""
        self._end(stream)
        self._note(stream.track.flush(stream.utc_us))

    def _whole(self, stream: _Stream, *, ends: bool | None = None) -> None:
        stream.open = False
        packet = stream.packet
        if stream.bounded and len(packet) > stream.limit:
            packet = packet[: stream.limit]
        header = parse_pes_header(packet)
        if header is None:
            self._dropped_before += 1
            stream.track.lose()
            return
        self._note(stream.track.take(packet, header, stream.utc_us, ends=ends))

    def _note(self, events: Iterable[TrackFormat | AccessUnit]) -> None:
        for event in events:
            if isinstance(event, TrackFormat):
                if event == self._formats.get(event.track):
                    continue
                self._formats[event.track] = event
            self._ready.append(event)

    def _lose(self, stream: _Stream) -> None:
        """Drop the PES packet, because bytes of this PID are missing."""
        if stream.open:
            stream.open = False
            self._dropped_before += 1
        stream.track.lose()

    # ------------------------------------------------------------------ tracks

    def _remap(self, found: ProgramMap) -> None:
        """Replace the tracks by those of a program map."""
        if found == self._map:
            return
        first, self._map = self._map is None, found
        if found.others and not found.streams:
            names = ", ".join(dict.fromkeys(found.others))
            raise UnsupportedCodec(f"The stream is {names}; Sluice takes H.264, HEVC and AAC.")
        before = self._streams
        streams = {
            stream.pid: self._stream(stream, track_id, new=not first)
            for track_id, stream in self._numbered(found)
        }
        self._streams = streams
        for gone in before.values():
            if streams.get(gone.pid) is not gone:
                self._finish(gone)
                self._dropped_before += gone.track.dropped_units
        tracks = {stream.track_id for stream in streams.values()}
        self._formats = {t: known for t, known in self._formats.items() if t in tracks}
        self._ready.append(
            Metadata(
                declares_video=VIDEO_TRACK in tracks, declares_audio=bool(tracks - {VIDEO_TRACK})
            )
        )

    def _numbered(self, found: ProgramMap) -> Iterator[tuple[int, ProgramStream]]:
        """Yield the streams that become tracks: one of video, and the first ones of audio."""
        free = {
            VIDEO_TRACK: iter((VIDEO_TRACK,)),
            AUDIO_TRACK: iter(range(1, 1 + MAX_AUDIO_TRACKS)),
        }
        pids = set(self._program.pids)
        for stream in found.streams:
            kind = AUDIO_TRACK if stream.codec is Codec.AAC else VIDEO_TRACK
            if stream.pid not in pids and (track_id := next(free[kind], None)) is not None:
                pids.add(stream.pid)
                yield track_id, stream

    def _stream(self, stream: ProgramStream, track_id: int, *, new: bool) -> _Stream:
        """Return the state of a PID: its present state if neither codec nor track have changed."""
        known = self._streams.get(stream.pid)
        if known and known.codec is stream.codec and known.track_id == track_id:
            return known
        track: Track
        if stream.codec is Codec.AAC:
            track = AudioTrack(track_id, self._clock)
        else:
            track = VideoTrack(track_id, stream.codec, self._clock)
        track.damaged = new
        return _Stream(stream.pid, stream.codec, track_id, track)
