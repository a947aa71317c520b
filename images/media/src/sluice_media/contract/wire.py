"""Messages between the pods: the records of a leg and of the timeline."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sluice_media.contract.base import Model


class LegStretch(Model):
    """Media of a leg that had another offset than the media after it."""

    until_dts: int
    """Last source DTS of the stretch, 90 kHz."""
    out_offset: int
    """Output DTS minus source DTS, 90 kHz."""
    next_dts: int
    """First source DTS of the next offset, 90 kHz. Media between ``until_dts`` and ``next_dts``
    never went out."""
    next_utc: datetime
    """Wall clock time of the content at ``next_dts``."""
    gap_seconds: float
    """Wall time that is missing between this stretch and the next; 0 for none."""
    next_run: str = ""
    """Id of the run that begins at ``next_dts``, see :class:`TimelineSegment`."""

    def moved(self, ticks: int) -> LegStretch:
        """Return the stretch for source times that are later by ``ticks``."""
        return self.model_copy(
            update={
                "until_dts": self.until_dts + ticks,
                "out_offset": self.out_offset - ticks,
                "next_dts": self.next_dts + ticks,
            }
        )


class TimelineSegment(Model):
    """Record ``segment``: a segment begins. The unit with this DTS on the reference track follows.

    On every other track, the segment begins with the first unit after this record whose DTS is not
    below ``dts``. The record has everything that must be equal wherever the segment is written."""

    run: str
    """Id of the run: one clock of one source. It changes when the timeline continues inexactly."""
    number: int
    """Number of the segment in the session, from 0."""
    dts: int
    pts: int
    """PTS of the first unit, which is a random access point, 90 kHz."""
    shift: int = 0
    """Ticks from the DTS of a picture to its decode time in CMAF. With it, the decode time of a
    keyframe is its PTS. It is constant within a run and format."""
    format_number: int = 0
    """Number of format changes in the session before this segment."""
    target_seconds: int
    """Maximum duration of a segment in whole seconds. It may grow, and never shrinks."""
    anchor_dts: int
    """DTS whose wall clock time is ``anchor_utc``."""
    anchor_utc: datetime


class LegGrid(Model):
    """The numbering of segments, for the hub that continues a session."""

    segment_seconds: int
    """Wanted duration of the session's segments."""
    segment: TimelineSegment
    """The segment in force at ``place_dts``, in output times."""
    place_dts: int
    """Output DTS at or before which the gateway begins when it sends media again. The later
    segments follow from ``segment`` and these units. When the gateway begins later, units are
    missing."""
    newest_number: int
    """Number of the newest segment."""
    newest_format_number: int


class LegAck(Model):
    """Acknowledgement in a leg's response, every 200 ms: one JSON object per line."""

    type: Literal["ack"] = "ack"
    stream_uid: str
    timeline: str
    epoch: int
    leg: str
    is_on_air: bool = True
    """True when the leg is on air, or when it was the last leg on air and none is now. False for a
    standby. Its ``out_offset`` has no meaning, and its ``acked_dts`` covers the media that the hub
    itself holds."""
    out_offset: int
    """Output DTS minus source DTS, 90 kHz. A gateway sends steady source times. The offset is
    therefore valid for the media that the gateway keeps, too, back to the end of ``earlier``."""
    begins_dts: int | None = None
    """First source DTS of the leg in this session. Earlier media of the leg is not part of the
    session. None when the leg has not been on air in it."""
    earlier: tuple[LegStretch, ...] = ()
    """Stretches that had other offsets, oldest first. The gateway may send their media again."""
    acked_dts: int | None = None
    """Source DTS up to which no reader needs media from the next hub: all recorders hold it, or
    there is no recorder and the readers have it. None when the gateway must keep everything."""
    recorded: bool = True
    """True when a recorder needs the media that is not acknowledged. False when the gateway keeps
    it only for other readers."""
    last_out_dts: int
    """Last DTS on the output timeline, 90 kHz."""
    last_out_utc: datetime | None = None
    session_started_at: datetime | None = None
    grid: LegGrid | None = None
    """None before the session's first segment."""

    def source_dts(self, out_dts: int) -> int:
        """Return the source DTS that went out at ``out_dts``."""
        for stretch in self.earlier:
            if out_dts <= stretch.until_dts + stretch.out_offset:
                return out_dts - stretch.out_offset
        return out_dts - self.out_offset


class LegHello(Model):
    """Value of HELLO_HEADER in ``POST /v1/legs``. The publisher's key is the bearer token."""

    protocol: str
    """RTMP, RTMPS, SRT, WHIP or Pull."""
    remote: str = ""
    """Address of the publisher, for people; may be empty."""
    connection: str
    """Id of one connection of a publisher, made by the gateway. A second ``POST /v1/legs`` with
    this id replaces the leg of the first one at once."""
    resume: LegAck | None = None
    """Last acknowledgement of this connection, when it continues at another hub."""


class LegGrant(Model):
    """Answer to ``POST /v1/legs/lookup`` when the key is right and the leg is free. The gateway
    needs it before the protocol's own handshake, and keeps it for at most 30 s."""

    leg: str
    passphrase: str | None = None
    """SRT passphrase; None for a connection without encryption."""
    latency_milliseconds: int | None = None


class LegEnd(Model):
    """Last line of a leg's response when the hub ends the leg on purpose."""

    type: Literal["end"] = "end"
    reason: str
    """A :class:`LegReason`. After Draining the gateway posts the leg again, because another hub is
    about to take over. After TakenOver, Disabled, KeyRotated, UnsupportedCodec or BadMedia it does
    not."""
    message: str = ""


class Refusal(Model):
    """Body of a 401, 403, 409 or 503 answer to a leg."""

    reason: str
    """A :class:`LegReason`: Draining or PassphraseMissing with 503, the others with 401, 403 or
    409."""
    message: str


class TrackInfo(Model):
    """One track, with its decoder configuration."""

    track: int
    kind: str
    codec: str
    config: str
    """Base64 of the decoder configuration record."""
    width: int = 0
    height: int = 0
    sample_rate: int = 0
    channels: int = 0


class LegFormat(Model):
    """Record ``format`` of a leg of units: the first record, and again when the tracks change. The
    first one may have no track."""

    tracks: list[TrackInfo]
    has_video: bool | None = None
    """True when the container's headers announce video, False when they announce none. None when
    they announce nothing: then 2 s without a picture mean that there is no video."""
    left_out: str = ""
    """Codec of audio that the publisher sends and the gateway cannot carry; empty for none."""
    picture_comes: bool = False
    """True when the gateway has received part of a picture. The tracks are then unchanged."""


class TimelineFormat(Model):
    """Record ``format``: the first of every reply, and again when the tracks change."""

    timeline: str
    epoch: int
    stream_uid: str
    title: str = ""
    session_started_at: datetime
    tracks: list[TrackInfo]


class TimelineAnchor(Model):
    """Record ``anchor``: the wall clock time of a DTS. It is valid until the next anchor."""

    dts: int
    utc: datetime


class TimelineGap(Model):
    """Record ``gap``: media is missing between the unit before and the unit after."""

    dts: int
    """DTS at which the timeline continues, 90 kHz."""
    wall_seconds: float
    """Length of the gap by the wall clock."""


class TimelineHeartbeat(Model):
    """Record ``heartbeat``: every 500 ms, and at once when one of its fields changes.

    Readers take the state of the source from these fields and do not time the units themselves.
    Recorders, pushers and the status therefore never disagree."""

    session: bool
    """True while a session is on; it may be interrupted."""
    delivering: bool
    """True while a leg delivers."""


class TimelineAck(Model):
    """Body of ``POST /v1/timeline/ack``: the reader holds everything up to ``dts`` durably."""

    reader: str
    timeline: str
    dts: int


class TimelineEnd(Model):
    """Record ``end``, the last one: the session is over."""

    reason: str
    """A :class:`SessionEndReason`."""
    finished_at: datetime
