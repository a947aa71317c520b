"""Transport stream packets, read with the tests' own parser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags

AVCC = bytes.fromhex(
    "0164001effe1001a6764001eacd940a02ff97011000003000100000300320f162d9601000668ebe3cb22c0fdf8f800"
)

SPS = AVCC[8 : 8 + 26]

PPS = AVCC[37 : 37 + 6]

VIDEO = TrackFormat(0, TrackKind.VIDEO, Codec.H264, AVCC, 640, 360)

AUDIO = TrackFormat(1, TrackKind.AUDIO, Codec.AAC, bytes.fromhex("1190"), 0, 0, 48_000, 2)


@dataclass(slots=True)
class Packet:
    pid: int
    unit_start: bool
    counter: int
    payload: bytes
    has_payload: bool
    flags: int
    pcr: int | None


def packets(stream: bytes) -> Iterator[Packet]:
    assert len(stream) % 188 == 0
    for at in range(0, len(stream), 188):
        raw = stream[at : at + 188]
        assert raw[0] == 0x47
        control = raw[3] >> 4 & 3
        start, flags, pcr = 4, 0, None
        if control & 2:
            start = 5 + raw[4]
            flags = raw[5] if raw[4] else 0
            if flags & 0x10:
                pcr = int.from_bytes(raw[6:12], "big") >> 15
        yield Packet(
            int.from_bytes(raw[1:3], "big") & 0x1FFF,
            bool(raw[1] & 0x40),
            raw[3] & 0xF,
            raw[start:],
            bool(control & 1),
            flags,
            pcr,
        )


def check_counters(stream: bytes) -> None:
    last: dict[int, int] = {}
    for packet in packets(stream):
        expected = last.get(packet.pid, packet.counter - packet.has_payload)
        assert packet.counter == (expected + packet.has_payload) & 0xF
        last[packet.pid] = packet.counter


def audio(dts: int, payload: bytes = b"\x21" * 300) -> AccessUnit:
    return AccessUnit(1, dts, dts, UnitFlags.NONE, 0, payload)
