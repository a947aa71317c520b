"""Reader of program specific information: packets in; sections, programs and streams out.

Source: ISO/IEC 13818-1:2019, clause 2.4.4 (sections, PAT, PMT), 2.6 (descriptors) and table 2-34
(stream types); SCTE 128 and ETSI TS 101 154 for the types that the table leaves to users.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sluice_media.formats.mpegts.crc import crc32_mpeg2
from sluice_media.formats.mpegts.psi import PAT_PID, STREAM_TYPES
from sluice_media.formats.units import Codec

MAX_SECTION_BYTES = 1_024
"""Maximum size of PAT and PMT sections (2.4.4.4, 2.4.4.9)."""
_PAT_TABLE, _PMT_TABLE = 0x00, 0x02
_STUFFING_TABLE = 0xFF
_NULL_PID = 0x1FFF

_CODECS = {number: codec for codec, number in STREAM_TYPES.items()}
_PRIVATE_PES = 0x06
_REGISTRATION = 0x05
_REGISTERED = {b"HEVC": Codec.HEVC}
_OTHER_TYPES = {
    0x01: "MPEG-1 video", 0x02: "MPEG-2 video", 0x03: "MPEG audio", 0x04: "MPEG audio",
    0x10: "MPEG-4 part 2", 0x11: "AAC in LATM", 0x1C: "MPEG-4 audio without ADTS",
    0x21: "JPEG 2000", 0x33: "VVC", 0x42: "AVS", 0x81: "AC-3", 0x82: "DTS", 0x83: "TrueHD",
    0x87: "E-AC-3", 0xD2: "AVS2", 0xEA: "VC-1",
}  # fmt: skip
_OTHER_REGISTERED = {
    b"AC-3": "AC-3", b"EAC3": "E-AC-3", b"Opus": "Opus", b"AV01": "AV1", b"VC-1": "VC-1",
    b"BSSD": "SMPTE 302M", b"DTS1": "DTS", b"DTS2": "DTS", b"DTS3": "DTS", b"drac": "Dirac",
}  # fmt: skip
_PICTURES = frozenset({
    "MPEG-1 video", "MPEG-2 video", "MPEG-4 part 2", "JPEG 2000", "VVC", "AVS", "AVS2", "VC-1",
    "AV1", "Dirac",
})  # fmt: skip
"""Names above that are video."""
_MAX_NAMES = 3
"""Maximum number of codecs that a message lists."""
_OTHER_DESCRIPTORS = {0x6A: "AC-3", 0x7A: "E-AC-3", 0x7B: "DTS"}


@dataclass(slots=True, frozen=True)
class ProgramStream:
    """Elementary stream that Sluice carries."""

    pid: int
    codec: Codec


@dataclass(slots=True, frozen=True)
class ProgramMap:
    """Contents of a PMT. It lists no data streams."""

    streams: tuple[ProgramStream, ...]
    """Streams that Sluice carries, in the order of the table."""
    others: tuple[str, ...]
    """Names of the video and audio codecs that Sluice does not carry."""

    @property
    def left_out(self) -> str:
        """Codecs of the audio when Sluice carries none of them; empty otherwise."""
        if any(stream.codec is Codec.AAC for stream in self.streams):
            return ""
        names = dict.fromkeys(name for name in self.others if name not in _PICTURES)
        return ", ".join(list(names)[:_MAX_NAMES])


class SectionReader:
    """Reader of one PID's sections. It drops sections with a wrong CRC, and repeated sections."""

    def __init__(self) -> None:
        self._partial: bytearray | None = None
        self._packet = (-1, b"")
        self._latest = b""

    def feed(self, payload: bytes, *, unit_start: bool, counter: int) -> Iterator[bytes]:
        """Take a packet's payload; yield the new sections."""
        duplicate = self._packet == (counter, payload)
        self._packet = (counter, payload)
        if duplicate or not payload:
            return
        if not unit_start:
            if self._partial is not None:
                self._partial += payload
                yield from self._complete()
            return
        first = 1 + payload[0]
        if self._partial is not None:
            self._partial += payload[1:first]
            yield from self._complete()
        self._partial = bytearray(payload[first:])
        yield from self._complete()

    def _complete(self) -> Iterator[bytes]:
        while self._partial is not None and len(self._partial) >= 3:
            partial = self._partial
            size = 3 + (int.from_bytes(partial[1:3], "big") & 0xFFF)
            if partial[0] == _STUFFING_TABLE or size > MAX_SECTION_BYTES:
                self._partial = None
            elif len(partial) < size:
                return
            else:
                section = bytes(partial[:size])
                del partial[:size]
                if section != self._latest and crc32_mpeg2(section) == 0:
                    self._latest = section
                    yield section


class ProgramReader:
    """Reader of the PAT and of the first program's PMT. It stays with a program while that
    exists."""

    def __init__(self) -> None:
        self.pids: tuple[int, int] = (PAT_PID, -1)
        """PIDs of the PAT and of the PMT; -1 while the PMT's PID is unknown."""
        self._pat = SectionReader()
        self._pmt = SectionReader()
        self._number = 0

    def feed(
        self, pid: int, payload: bytes, *, unit_start: bool, counter: int
    ) -> Iterator[ProgramMap]:
        """Take the payload of a packet with one of :attr:`pids`; yield the program's maps."""
        reader = self._pat if pid == PAT_PID else self._pmt
        for section in reader.feed(payload, unit_start=unit_start, counter=counter):
            if pid == PAT_PID:
                self._associate(section)
            elif (found := parse_pmt(section, self._number)) is not None:
                yield found

    def _associate(self, section: bytes) -> None:
        programs = parse_pat(section)
        if not programs:
            return
        if self._number not in programs:
            if section[6]:
                return  # not the first of several sections: our program may be in another
            self._number = next(iter(programs))
        if programs[self._number] != self.pids[1]:
            self.pids = (PAT_PID, programs[self._number])
            self._pmt = SectionReader()


def _body(section: bytes, table: int) -> bytes | None:
    """Return the bytes between head and CRC of a section; None for another table or a future
    one."""
    if len(section) < 12 or section[0] != table or not section[5] & 1:
        return None
    return section[8:-4]


def parse_pat(section: bytes) -> dict[int, int] | None:
    """Return program numbers and the PIDs of their maps, in order; None when this is not a PAT."""
    body = _body(section, _PAT_TABLE)
    if body is None:
        return None
    programs: dict[int, int] = {}
    for at in range(0, len(body) - 3, 4):
        number, pid = int.from_bytes(body[at : at + 2], "big"), _pid(body, at + 2)
        if number and 0 < pid < _NULL_PID:  # program 0 is the network's own table
            programs.setdefault(number, pid)
    return programs


def parse_pmt(section: bytes, program: int) -> ProgramMap | None:
    """Return the streams of the program; None when this is not its map."""
    body = _body(section, _PMT_TABLE)
    if body is None or len(body) < 4 or int.from_bytes(section[3:5], "big") != program:
        return None
    streams: list[ProgramStream] = []
    others: list[str] = []
    at = 4 + _length(body, 2)
    while at + 5 <= len(body):
        stream_type, pid = body[at], _pid(body, at + 1)
        end = at + 5 + _length(body, at + 3)
        codec = _codec(stream_type, body[at + 5 : end])
        if isinstance(codec, Codec):
            if 0 < pid < _NULL_PID:
                streams.append(ProgramStream(pid, codec))
        elif codec is not None:
            others.append(codec)
        at = end
    return ProgramMap(tuple(streams), tuple(others))


def _codec(stream_type: int, descriptors: bytes) -> Codec | str | None:
    """Return the codec of a stream, the name of a codec that Sluice does not carry, or None for
    data."""
    codec = _CODECS.get(stream_type) or _OTHER_TYPES.get(stream_type)
    if codec is not None:
        return codec
    if stream_type != _PRIVATE_PES:
        return None
    at = 0
    while at + 2 <= len(descriptors):
        tag, end = descriptors[at], at + 2 + descriptors[at + 1]
        if tag in _OTHER_DESCRIPTORS:
            return _OTHER_DESCRIPTORS[tag]
        if tag == _REGISTRATION:
            name = descriptors[at + 2 : min(end, at + 6)]
            known = _REGISTERED.get(name) or _OTHER_REGISTERED.get(name)
            if known is not None:
                return known
        at = end
    return None


def _pid(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big") & 0x1FFF


def _length(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big") & 0x0FFF
