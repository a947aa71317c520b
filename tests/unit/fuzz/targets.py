"""Everything that reads what a stranger sends: how to feed it, and what it may raise.

Bytes come in pieces, as from a socket. A target returns what it has made of them, for a look at its
size; any exception but the ones it names is a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sluice_media.formats import amf0
from sluice_media.formats.errors import MediaError
from sluice_media.formats.flv import FlvDemuxer, TagReader
from sluice_media.formats.mpegts.demux import TsDemuxer
from sluice_media.formats.mpegts.pes_reader import parse_pes_header, pes_bytes
from sluice_media.formats.mpegts.psi_reader import SectionReader, parse_pat, parse_pmt
from sluice_media.hub.feed import UnitFeed
from sluice_media.hub.legs.leg import LegName
from sluice_media.protocols.rtmp import ClientSession, Media, RtmpError, ServerSession
from sluice_media.protocols.rtmp.chunk import ChunkReader
from sluice_media.protocols.rtmp.handshake import ServerHandshake
from sluice_media.protocols.srt.errors import StreamIdError
from sluice_media.protocols.srt.streamid import parse_stream_id
from sluice_media.publishing.budget import RetentionBudget
from sluice_media.publishing.path import BadPath, parse_publish_path
from sluice_media.publishing.retention import Retention
from sluice_media.timeline.framing import FramingError, TimelineDecoder
from sluice_media.timeline.leg_framing import LegDecoder, LegMediaRejected
from tests.support.flv_leg import FlvLeg
from tests.support.hub_world import World

__all__ = ["TARGETS", "Target"]

Pieces = Sequence[bytes]


@dataclass(slots=True, frozen=True)
class Target:
    corpus: tuple[str, ...]
    """Names below tests/corpus."""
    run: Callable[[Pieces], object]
    may_raise: tuple[type[Exception], ...] = ()
    microseconds_per_byte: float = 100
    """A bound against spinning, far above what it takes."""


def _amf0(pieces: Pieces) -> object:
    return amf0.decode(b"".join(pieces))


def _handshake(pieces: Pieces) -> object:
    handshake = ServerHandshake()
    return [handshake.feed(piece) for piece in pieces if not handshake.done]


def _chunks(pieces: Pieces) -> object:
    reader = ChunkReader()
    return [m for piece in pieces for m in reader.feed(piece)]


def _server(pieces: Pieces) -> object:
    """A gateway's publisher: the session, the records of its leg and what is kept of them."""
    session, leg = ServerSession(), FlvLeg()
    kept = Retention(60, 1 << 20, lambda: 0.0, RetentionBudget(1 << 20))
    for piece in pieces:
        for event in session.feed(piece):
            if isinstance(event, Media):
                for record in leg.feed(event.type_id, event.timestamp_ms, event.payload):
                    kept.add(record)
        if session.publish_requested:
            session.accept_publish()
        session.take_output()
    assert kept.size <= 1 << 20
    return kept.replay()


def _client(pieces: Pieces) -> object:
    session = ClientSession(app="a", tc_url="rtmp://h/a", stream_key="k")
    for piece in pieces:
        session.feed(piece)
        session.take_output()
    return None


def _flv(pieces: Pieces) -> object:
    reader, demuxer = TagReader(), FlvDemuxer()
    return [
        event
        for piece in pieces
        for tag in reader.feed(piece)
        for event in demuxer.feed(tag.type_id, tag.timestamp_ms, tag.payload, 0)
    ]


def _ts(pieces: Pieces) -> object:
    demuxer = TsDemuxer()
    events = [event for piece in pieces for event in demuxer.feed(piece)]
    return [*events, *demuxer.flush()]


def _psi(pieces: Pieces) -> object:
    reader = SectionReader()
    found: list[object] = []
    for number, piece in enumerate(pieces):
        for section in reader.feed(piece, unit_start=number % 3 == 0, counter=number & 0xF):
            found += [parse_pat(section), parse_pmt(section, 1)]
    return found


def _pes(pieces: Pieces) -> object:
    found: list[object] = []
    for piece in pieces:
        packet = bytearray(piece)
        if len(packet) >= 9 and pes_bytes(packet) is not None:
            found.append(parse_pes_header(packet))
    return found


def _timeline(pieces: Pieces) -> object:
    decoder = TimelineDecoder()
    return [record for piece in pieces for record in decoder.feed(piece)]


def _leg(pieces: Pieces) -> object:
    decoder = LegDecoder()
    return [event for piece in pieces for event in decoder.feed(piece, 0)]


def _hub(pieces: Pieces) -> object:
    """A whole hub behind a leg."""
    world = World()
    publisher = world.publish()
    feed = UnitFeed(world.hub, publisher.leg)
    assert publisher.leg.name is LegName.PRIMARY
    for piece in pieces:
        feed.feed(piece, world.now)
        world.pass_time(0.1)
    return None


def _hub_flv(pieces: Pieces) -> object:
    """A whole hub behind a gateway."""
    leg = FlvLeg()
    tags = (tag for tags in map(TagReader().feed, pieces) for tag in tags)
    records = (leg.feed(tag.type_id, tag.timestamp_ms, tag.payload) for tag in tags)
    return _hub([record.data for found in records for record in found])


def _stream_id(pieces: Pieces) -> object:
    return parse_stream_id(b"".join(pieces).decode("ascii", "replace"))


def _path(pieces: Pieces) -> object:
    return parse_publish_path(*_two(piece.decode("utf-8", "replace") for piece in pieces))


def _two(words: Iterable[str]) -> tuple[str, str]:
    first, _, second = "".join(words).partition("\n")
    return first, second


TARGETS = {
    "amf0": Target(("amf0",), _amf0, (amf0.AmfError,)),
    "rtmp-handshake": Target(("rtmp",), _handshake, (RtmpError,)),
    "rtmp-chunks": Target(("rtmp-chunks",), _chunks, (RtmpError,)),
    "rtmp-server": Target(("rtmp",), _server, (RtmpError, MediaError)),
    "rtmp-client": Target(("rtmp-answers",), _client, (RtmpError,)),
    "flv": Target(("flv",), _flv, (MediaError,)),
    "ts": Target(("ts",), _ts, (MediaError,)),
    "psi": Target(("ts",), _psi),
    "pes": Target(("ts",), _pes),
    "timeline": Target(("timeline", "leg"), _timeline, (FramingError,)),
    "leg": Target(("leg",), _leg, (LegMediaRejected,)),
    "hub-flv": Target(("flv",), _hub_flv, (MediaError,), 2_000),
    "hub-units": Target(("leg",), _hub, (LegMediaRejected,), 2_000),
    "srt-stream-id": Target(("stream-id",), _stream_id, (StreamIdError,)),
    "publish-path": Target(("path",), _path, (BadPath,)),
}
