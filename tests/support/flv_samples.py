"""Small valid configurations and pictures, as real encoders (x264, x265) write them."""

from __future__ import annotations

AVCC = bytes.fromhex(
    "0164001effe1001a6764001eacd940a02ff97011000003000100000300320f162d9601000668ebe3cb22c0fdf8f800"
)
AVCC_1080 = bytes.fromhex(
    "01640028ffe1001967640028acd94078044fde022000007d20001d4c03e2c5b2c001000668fba3cb22c0fdf8f800"
)
ASC_44100_STEREO = b"\x12\x10"
ASC_48000_STEREO = b"\x11\x90"

_VPS = bytes.fromhex("40010c01ffff01600000030090000003000003003f9598090000")
_SPS = bytes.fromhex(
    "42010101600000030090000003000003003fa005020171f265959a4932bc05a02000000300200000030321"
)
_PPS = bytes.fromhex("4401c172b46240")


def hvcc() -> bytes:
    head = bytearray(23)
    head[0], head[1], head[12], head[21], head[22] = 1, 1, 63, 0x0F, 3
    return bytes(head) + b"".join(
        bytes((kind, 0, 1)) + len(nal).to_bytes(2, "big") + nal
        for kind, nal in ((0x20, _VPS), (0xA1, _SPS), (0x22, _PPS))
    )


def sample(*nals: bytes) -> bytes:
    return b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)


IDR = sample(b"\x65\x88\x84" + bytes(40))
PICTURE = sample(b"\x41\x9a\x24" + bytes(20))
RECOVERY_POINT = sample(bytes.fromhex("060601c480"), b"\x41\x9a\x24" + bytes(20))
HEVC_IDR = sample(bytes((19 << 1, 1, 0xAF, 0x08)))
HEVC_PICTURE = sample(bytes((1 << 1, 1, 0xAF, 0x08)))
SOUND = bytes.fromhex("21100487") + bytes(60)


def avc_config(config: bytes = AVCC) -> bytes:
    return b"\x17\x00\x00\x00\x00" + config


def avc(body: bytes, composition_ms: int = 0, keyframe: bool = False) -> bytes:
    first = b"\x17" if keyframe else b"\x27"
    return first + b"\x01" + composition_ms.to_bytes(3, "big", signed=True) + body


def aac_config(config: bytes = ASC_44100_STEREO) -> bytes:
    return b"\xaf\x00" + config


def aac(body: bytes = SOUND) -> bytes:
    return b"\xaf\x01" + body
