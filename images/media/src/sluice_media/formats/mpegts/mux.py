"""Transport stream multiplexer: access units in, TS packets out (sans-io).

Sources: ISO/IEC 13818-1:2019 clause 2.4 (syntax), 2.7.2 (a PCR at least every 100 ms), 2.14 and
2.17 (H.264 and HEVC), and ETSI TR 101 154 clause 4.1.7 (PAT and PMT at least every 500 ms).

The outputs of consecutive calls form one stream. Files that are cut between two calls and joined
again are that stream, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sluice_media.formats.mpegts.elementary import Elementary, elementary
from sluice_media.formats.mpegts.packets import Packetizer
from sluice_media.formats.mpegts.pes import VIDEO_STREAM_ID, audio_stream_id, pes_header
from sluice_media.formats.mpegts.psi import ElementaryStream, psi_packets
from sluice_media.formats.units import AccessUnit, TrackFormat, TrackKind

VIDEO_PID = 0x0100
"""PID of track 0. Track n has the PID ``VIDEO_PID + n``."""
_MAX_TRACK = 0xFF

PSI_INTERVAL = 45_000
"""Interval of PAT and PMT: 500 ms."""
PCR_INTERVAL = 3_600
"""Interval of the PCR: 40 ms, with every picture up to 25 per second, every second one up to 50."""
PCR_LATEST = 8_100
"""Maximum interval of the PCR: 90 ms. When the reference track is slower, a separate packet carries
the PCR."""
PCR_LEAD = 63_000
"""Time from a byte's arrival to its decoding: 700 ms. It leaves room for a large picture in the
decoder's buffer, and is the default of FFmpeg's multiplexer."""


def track_pid(track: int) -> int:
    """Return the PID of a track; raise ValueError for a number that has no PID.

    The PID follows only from the track's number. The audio tracks of a source may begin in any
    order, and a track keeps its PID when another track joins.
    """
    if not 0 <= track <= _MAX_TRACK:
        raise ValueError(f"track {track} has no PID: tracks are numbered 0 to {_MAX_TRACK}")
    return VIDEO_PID + track


@dataclass(slots=True)
class _Stream:
    """One track, as an elementary stream."""

    pid: int
    stream_id: int
    is_video: bool
    elementary: Elementary
    packetizer: Packetizer


class TsMuxer:
    """Multiplexer of one set of tracks; other tracks need a new multiplexer.

    A multiplexer that is made ``after`` another continues its stream: the counters continue, and
    the PMT gets a new version if the tracks differ.

    Times are the units' own, modulo 2^33, without a shift. The *reference track* carries the PCR,
    700 ms before its DTS. It is the video track, or the first audio track without video.

    Raises CodecError for a track that MPEG-TS cannot carry. Raises ValueError for no tracks, for
    two video tracks, and for a track number that has no PID.
    """

    def __init__(self, formats: Sequence[TrackFormat], after: TsMuxer | None = None) -> None:
        self._packetizers: dict[int, Packetizer] = dict(after._packetizers) if after else {}
        self._streams = _streams(formats, self._packetizers)
        video = [track for track, stream in self._streams.items() if stream.is_video]
        self._reference_track = video[0] if video else next(iter(self._streams))
        self._reference = self._streams[self._reference_track]
        self._layout = [ElementaryStream(self._streams[f.track].pid, f.codec) for f in formats]
        self._version: int = after._version if after else 0
        if after and self._layout != after._layout:
            self._version = (self._version + 1) & 0x1F
        self._psi = psi_packets(self._reference.pid, self._layout, self._version)
        self._psi_counter: int = after._psi_counter if after else 0
        self._psi_dts: int | None = None
        self._pcr_dts: int | None = None

    def write(self, unit: AccessUnit, *, with_psi: bool = False) -> bytes:
        """Return the packets of one unit.

        PAT and PMT come before the first unit, before each random access of a video track, after
        500 ms, and with ``with_psi`` (at the start of a chunk). Raises CodecError when the payload
        is broken or does not fit; the stream continues with the next unit. Raises KeyError for a
        track that is not among the formats.
        """
        stream = self._streams[unit.track]
        random_access, discontinuity = unit.is_random_access, unit.is_discontinuity
        pieces = stream.elementary.pieces(unit.payload, random_access)
        size = sum(map(len, pieces))
        pes = b"".join((pes_header(stream.stream_id, unit.pts, unit.dts, size), *pieces))
        parts: list[bytes | bytearray] = []
        if with_psi or (random_access and stream.is_video) or self._psi_is_due(unit.dts):
            parts.append(self._psi[self._psi_counter])
            self._psi_counter = (self._psi_counter + 1) & 0xF
            self._psi_dts = unit.dts
        pcr = None
        if stream is self._reference:
            if self._pcr_is_due(unit.dts, 1 if random_access or discontinuity else PCR_INTERVAL):
                pcr = unit.dts - PCR_LEAD
                self._pcr_dts = unit.dts
        elif self._pcr_dts is not None and self._pcr_is_due(unit.dts, PCR_LATEST):
            parts.append(self._reference.packetizer.pcr_packet(unit.dts - PCR_LEAD))
            self._pcr_dts = unit.dts
        parts += stream.packetizer.packets(
            pes, pcr_90khz=pcr, random_access=random_access, discontinuity=discontinuity
        )
        return b"".join(parts)

    def _psi_is_due(self, dts: int) -> bool:
        return self._psi_dts is None or dts - self._psi_dts >= PSI_INTERVAL

    def _pcr_is_due(self, dts: int, interval: int) -> bool:
        # A unit that is older than the last PCR gets none (tracks interleave loosely): the clock
        # must not run backwards.
        return self._pcr_dts is None or dts - self._pcr_dts >= interval


def _streams(
    formats: Sequence[TrackFormat], packetizers: dict[int, Packetizer]
) -> dict[int, _Stream]:
    streams: dict[int, _Stream] = {}
    for track_format in formats:
        is_video = track_format.kind is TrackKind.VIDEO
        if is_video and any(stream.is_video for stream in streams.values()):
            raise ValueError("a transport stream has at most one video track")
        track = track_format.track
        pid = track_pid(track)
        stream_id = VIDEO_STREAM_ID if is_video else audio_stream_id(track - 1)
        streams[track] = _Stream(
            pid,
            stream_id,
            is_video,
            elementary(track_format),
            packetizers.setdefault(pid, Packetizer(pid)),
        )
    if not streams:
        raise ValueError("a transport stream needs at least one track")
    return streams
