"""``python -m tests.unit.fuzz.make_corpus``: writes tests/corpus, what the fuzzers start from.

Small on purpose: what counts is that every kind of record, message and table is there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sluice_media.contract import (
    TimelineAnchor,
    TimelineEnd,
    TimelineFormat,
    TimelineGap,
    TimelineHeartbeat,
)
from sluice_media.formats import amf0
from sluice_media.formats.flv import FILE_HEADER, FlvMuxer, encode_tag, metadata_payload
from sluice_media.formats.mpegts.mux import TsMuxer
from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.protocols.rtmp import ClientSession, MessageType, PublishRequested, ServerSession
from sluice_media.timeline.framing import Record, encode, encode_unit, track_infos
from sluice_media.timeline.leg_framing import encode_formats, encode_rejection
from tests.support import flv_samples as s
from tests.support.hub_rig import AUDIO, VIDEO, picture
from tests.support.rtmp import media_message

CORPUS = Path(__file__).parents[2] / "corpus"
_FORMATS = (VIDEO, AUDIO)
_LATE_MS = 0x1000_0000
"""Needs an extended timestamp."""


def units() -> Iterator[AccessUnit]:
    for number in range(4):
        dts = number * 3_600
        flags = UnitFlags.NONE if number else UnitFlags.RANDOM_ACCESS
        yield AccessUnit(0, dts, dts + 3_600, flags, 0, picture(number, 30 + 200 * (number == 2)))
        yield AccessUnit(1, dts, dts, UnitFlags.NONE, 0, b"\x21" + bytes(20))


def flv() -> bytes:
    muxer = FlvMuxer()
    tags = muxer.start(_FORMATS)
    tags += [tag for unit in units() if (tag := muxer.unit(unit)) is not None]
    return FILE_HEADER + b"".join(encode_tag(t.type_id, t.timestamp_ms, t.payload) for t in tags)


def ts() -> bytes:
    muxer = TsMuxer(_FORMATS)
    return b"".join(muxer.write(unit, with_psi=unit.is_random_access) for unit in units())


def conversation() -> tuple[bytes, bytes]:
    """What an encoder and the gateway say to each other."""
    server = ServerSession()
    client = ClientSession(app="ns", tc_url="rtmp://h/ns", stream_key="talk?key")
    up, down = b"", b""
    while not client.accepted:
        said = client.take_output()
        up += said
        for event in server.feed(said):
            if isinstance(event, PublishRequested):
                server.accept_publish()
        answer = server.take_output()
        down += answer
        client.feed(answer)
    up += media_message(client, MessageType.DATA, 0, metadata_payload(_FORMATS))
    up += media_message(client, MessageType.VIDEO, 0, s.avc_config())
    up += media_message(client, MessageType.AUDIO, 0, s.aac_config())
    for number, ms in enumerate((0, 40, 80, _LATE_MS, _LATE_MS + 40)):
        sent = s.avc(s.PICTURE if number else s.IDR) + bytes(300)
        up += media_message(client, MessageType.VIDEO, ms, sent)
        up += media_message(client, MessageType.AUDIO, ms, s.aac())
    up += client.close()
    return up, down


def leg() -> bytes:
    parts = [encode_formats(()), encode_formats(_FORMATS, has_video=True)]
    parts += [encode_unit(unit) for unit in units()]
    return b"".join((*parts, encode_rejection("BadMedia", "A sentence.")))


def timeline() -> bytes:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    head = TimelineFormat(
        timeline="t", epoch=1, stream_uid="u", session_started_at=now, tracks=track_infos(_FORMATS)
    )
    records: list[Record] = [
        head, TimelineAnchor(dts=0, utc=now), *units(), TimelineGap(dts=9, wall_seconds=1.5),
        TimelineHeartbeat(session=True, delivering=False),
        TimelineEnd(reason="WindowPassed", finished_at=now),
    ]  # fmt: skip
    return b"".join(encode(record) for record in records)


def main() -> None:
    up, down = conversation()
    entries = {
        "amf0/connect": amf0.encode("connect", 1.0, {"app": "ns", "fourCcList": ["hvc1"]}, None),
        "amf0/metadata": metadata_payload(_FORMATS),
        "flv/clip": flv(),
        "ts/clip": ts(),
        "rtmp/publish": up,
        "rtmp-chunks/publish": up[1 + 2 * 1536 :],
        "rtmp-answers/publish": down,
        "leg/clip": leg(),
        "timeline/clip": timeline(),
        "stream-id/plain": b"demo/talk?0123456789abcdef",
        "stream-id/keyed": b"#!::r=demo/talk?0123456789abcdef,m=publish,t=stream,u=me",
        "path/usual": b"ns\ntalk?key",
        "path/three": b"live/ns\ntalk/0123456789abcdef0123",
    }
    for name, data in entries.items():
        path = CORPUS / f"{name}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    main()
