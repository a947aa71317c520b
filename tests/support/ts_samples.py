"""Streams for tests of the demultiplexer, from our multiplexer and in the way of others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sluice_media.formats.codecs import aac
from sluice_media.formats.events import DemuxEvent
from sluice_media.formats.mpegts import TsMuxer
from sluice_media.formats.mpegts.crc import crc32_mpeg2
from sluice_media.formats.mpegts.demux import TsDemuxer
from sluice_media.formats.mpegts.packets import Packetizer
from sluice_media.formats.mpegts.pes import pes_header
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags
from tests.support import flv_samples as s

VIDEO = TrackFormat(0, TrackKind.VIDEO, Codec.H264, s.AVCC, 640, 360)
VIDEO_1080 = TrackFormat(0, TrackKind.VIDEO, Codec.H264, s.AVCC_1080, 1920, 1080)
HEVC = TrackFormat(0, TrackKind.VIDEO, Codec.HEVC, s.hvcc(), 640, 362)
AUDIO = TrackFormat(1, TrackKind.AUDIO, Codec.AAC, s.ASC_48000_STEREO, 0, 0, 48_000, 2)
AUDIO_44100 = TrackFormat(1, TrackKind.AUDIO, Codec.AAC, s.ASC_44100_STEREO, 0, 0, 44_100, 2)
# These NAL units do not end in zeros, as the standard demands.
IDR = s.sample(b"\x65\x88\x84" + b"\x5a" * 40)
PICTURE = s.sample(b"\x41\x9a\x24" + b"\x5a" * 20)
KEY, CUT = UnitFlags.RANDOM_ACCESS, UnitFlags.DISCONTINUITY
WRAP = 1 << 33
FRAME = 3_600


def picture(dts: int, payload: bytes = PICTURE, *, key: bool = False, ahead: int = 0) -> AccessUnit:
    payload = IDR if key and payload is PICTURE else payload
    return AccessUnit(0, dts, dts + ahead, KEY if key else UnitFlags.NONE, 0, payload)


def sound(dts: int, payload: bytes = s.SOUND, track: int = 1) -> AccessUnit:
    return AccessUnit(track, dts, dts, UnitFlags.NONE, 0, payload)


def broadcast(pictures: int = 50, first: int = 900_000) -> list[AccessUnit]:
    """Return video at 25 fps with a keyframe each second, and 48 kHz audio."""
    units = [picture(first + i * FRAME, key=i % 25 == 0) for i in range(pictures)]
    units += [sound(first + i * 1_920) for i in range(pictures * FRAME // 1_920)]
    return sorted(units, key=lambda unit: unit.dts)


def mux(units: Iterable[AccessUnit], *formats: TrackFormat) -> bytes:
    return b"".join(map(TsMuxer(formats or (VIDEO, AUDIO)).write, units))


def read(
    stream: bytes, sizes: Sequence[int] = (), demuxer: TsDemuxer | None = None
) -> list[DemuxEvent]:
    """Feed pieces of the given sizes, then the rest, then the end."""
    demuxer = demuxer or TsDemuxer()
    events: list[DemuxEvent] = []
    for size in sizes:
        events += demuxer.feed(stream[:size])
        stream = stream[size:]
    return [*events, *demuxer.feed(stream), *demuxer.flush()]


def units_of(events: Iterable[DemuxEvent], track: int | None = None) -> list[AccessUnit]:
    return [e for e in events if isinstance(e, AccessUnit) and track in (None, e.track)]


def formats_of(events: Iterable[DemuxEvent]) -> list[TrackFormat]:
    return [e for e in events if isinstance(e, TrackFormat)]


def by_track(units: Iterable[AccessUnit]) -> dict[int, list[AccessUnit]]:
    found: dict[int, list[AccessUnit]] = {}
    for unit in units:
        found.setdefault(unit.track, []).append(unit)
    return found


def split(stream: bytes) -> list[bytes]:
    return [stream[at : at + 188] for at in range(0, len(stream), 188)]


def pid_of(packet: bytes) -> int:
    return int.from_bytes(packet[1:3], "big") & 0x1FFF


def section_packet(pid: int, section: bytes, counter: int = 0) -> bytes:
    section += crc32_mpeg2(section).to_bytes(4, "big")
    head = b"\x47" + (0x4000 | pid).to_bytes(2, "big") + bytes((0x10 | counter, 0))
    return (head + section).ljust(188, b"\xff")


def program(*streams: tuple[int, int, bytes], pmt_pid: int = 0x1000) -> bytes:
    """Return PAT and PMT with streams of (type, PID, descriptors)."""
    body = b"".join(
        bytes((kind,))
        + (0xE000 | pid).to_bytes(2, "big")
        + (0xF000 | len(described)).to_bytes(2, "big")
        + described
        for kind, pid, described in streams
    )
    pat = b"\x00\xb0\x0d\x00\x01\xc1\x00\x00\x00\x01" + (0xE000 | pmt_pid).to_bytes(2, "big")
    length = (0xB000 | 9 + len(body) + 4).to_bytes(2, "big")
    pmt = b"\x02" + length + b"\x00\x01\xc1\x00\x00\xe1\x00\xf0\x00" + body
    return section_packet(0, pat) + section_packet(pmt_pid, pmt)


def ts_of_pes(pid: int, *pes: bytes) -> bytes:
    """Return transport stream packets with these PES packets, without optional fields."""
    packetizer = Packetizer(pid)
    return b"".join(b"".join(packetizer.packets(packet)) for packet in pes)


def pes(payload: bytes, pts: int | None, *, stream_id: int = 0xE0, bounded: bool = False) -> bytes:
    if pts is None:
        size = 3 + len(payload) if bounded else 0
        head = b"\x00\x00\x01" + bytes((stream_id,)) + size.to_bytes(2, "big") + b"\x80\x00\x00"
        return head + payload
    head = pes_header(stream_id, pts, pts, len(payload))
    return (head if bounded else head[:4] + b"\x00\x00" + head[6:]) + payload


SPS, PPS = s.AVCC[8 : 8 + 26], s.AVCC[37 : 37 + 6]
H264_ONLY = program((0x1B, 0x100, b""))
AAC_ONLY = program((0x0F, 0x101, b""))


def annexb(*nals: bytes) -> bytes:
    return b"".join(b"\x00\x00\x01" + nal for nal in nals)


def adts(payload: bytes, *, crc: bool = False) -> bytes:
    extra = 2 if crc else 0
    head = aac.adts_header(aac.parse_asc(s.ASC_48000_STEREO), len(payload) + extra)
    return (head[:1] + b"\xf0" + head[2:] + b"\xab\xcd" if crc else head) + payload
