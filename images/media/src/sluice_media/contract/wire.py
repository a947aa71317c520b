"""What passes between the pods: the leg's and the timeline's records."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sluice_media.contract.base import Model


class LegStretch(Model):
    """Media of a leg that went out with another offset than what followed it."""

    until_dts: int
    """Last source DTS of it, 90 kHz."""
    out_offset: int
    """Output DTS minus source DTS, 90 kHz."""
    next_dts: int
    """Source DTS from which on the next offset counted. What lies between went out nowhere."""
    next_utc: datetime
    """When the content at ``next_dts`` was made."""
    gap_seconds: float
    """Wall time that is missing between the two; 0: none."""

    def moved(self, ticks: int) -> LegStretch:
        """The same stretch when the times of the source are so much later."""
        return self.model_copy(
            update={
                "until_dts": self.until_dts + ticks,
                "out_offset": self.out_offset - ticks,
                "next_dts": self.next_dts + ticks,
            }
        )


class LegAck(Model):
    """Sent down a leg's response every 200 ms, one JSON object a line."""

    type: Literal["ack"] = "ack"
    stream_uid: str
    timeline: str
    epoch: int
    leg: str
    feeds: bool = True
    """The leg feeds the output, or its connection did last and no other leg does. False: the leg is
    a standby of this timeline. Its offset means nothing, and ``acked_dts`` is what the hub itself
    holds of it."""
    out_offset: int
    """Output DTS minus source DTS, 90 kHz. A gateway sends steady source times, so that the offset
    counts for what it keeps, too, back to the end of ``earlier``."""
    begins_dts: int | None = None
    """Source DTS from which on the leg has fed this session. What it sent before has no place in
    it. None: it has not fed it."""
    earlier: tuple[LegStretch, ...] = ()
    """Stretches that had other offsets, oldest first. The gateway may send their media again."""
    acked_dts: int | None = None
    """Source DTS up to which nobody can ask the next hub for anything: recorders hold it, or there
    is none and readers have it. None: nothing may be forgotten yet."""
    recorded: bool = True
    """False: no recorder needs what is not acknowledged; it is kept for other readers."""
    last_out_dts: int
    """Last DTS on the output timeline."""
    last_out_utc: datetime | None = None
    session_started_at: datetime | None = None

    def source_dts(self, out_dts: int) -> int:
        """Return the source DTS that went out at ``out_dts``."""
        for stretch in self.earlier:
            if out_dts <= stretch.until_dts + stretch.out_offset:
                return out_dts - stretch.out_offset
        return out_dts - self.out_offset

    def moved(self, ticks: int) -> LegAck:
        """The same acknowledgement when the times of the source are so much later."""
        return self.model_copy(
            update={
                "out_offset": self.out_offset - ticks,
                "begins_dts": _later(self.begins_dts, ticks),
                "earlier": tuple(stretch.moved(ticks) for stretch in self.earlier),
                "acked_dts": _later(self.acked_dts, ticks),
            }
        )


class LegHello(Model):
    """Head of ``POST /v1/legs``. The key travels beside it, as a bearer token."""

    protocol: str
    """RTMP, RTMPS, SRT, WHIP or Pull."""
    remote: str = ""
    """Address of the publisher, for people; may be empty."""
    connection: str
    """Made anew by the gateway for each publisher connection: a re-post of the same connection
    takes its own leg over at once."""
    resume: LegAck | None = None
    """The last acknowledgement of this connection, when it goes on at another hub."""


class LegGrant(Model):
    """Answer to ``POST /v1/legs/lookup``: the key is right and the leg could be had now. What a
    gateway must know before the protocol's own handshake, and keeps for 30 s at most."""

    leg: str
    passphrase: str | None = None
    """SRT's; None: without encryption."""
    latency_milliseconds: int | None = None


class LegEnd(Model):
    """The last line of a leg's response when the hub ends it on purpose."""

    type: Literal["end"] = "end"
    reason: str
    """TakenOver, Disabled, KeyRotated, UnsupportedCodec or BadMedia: do not come back by
    yourself. Draining: post again, another hub is on its way."""
    message: str = ""


class Refusal(Model):
    """Body of a 401, 403, 409 or 503 answer to a leg."""

    reason: str
    """BadKey, Busy, Disabled, ProtocolNotAllowed, UnsupportedCodec; Draining with 503."""
    message: str


class TrackInfo(Model):
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
    """Record ``format`` of a leg of units: first, and whenever the tracks change. The first one
    may have no track yet."""

    tracks: list[TrackInfo]
    has_video: bool | None = None
    """What the container's headers say; None: nothing, and 2 s without a picture decide."""
    left_out: str = ""
    """Codec of the sound that the publisher sends and the gateway cannot carry; empty: none."""
    picture_comes: bool = False
    """The tracks are as before; the gateway has got bytes of a picture that is not complete."""


class TimelineFormat(Model):
    """Record ``format``: first of every reply, and whenever the tracks change."""

    timeline: str
    epoch: int
    stream_uid: str
    title: str = ""
    session_started_at: datetime
    tracks: list[TrackInfo]


class TimelineAnchor(Model):
    """Record ``anchor``: from here on, media time and wall clock belong together like this."""

    dts: int
    utc: datetime


class TimelineGap(Model):
    """Record ``gap``: media is missing between the unit before and the unit after."""

    dts: int
    """DTS at which the timeline goes on."""
    wall_seconds: float


class TimelineHeartbeat(Model):
    """Record ``heartbeat``: every 500 ms, and at once when one of its words changes.

    Readers take *these* words for what the source does instead of timing units themselves, so
    that a recorder, a pusher and the status never disagree."""

    session: bool
    """A session is on (it may be interrupted)."""
    delivering: bool
    """A leg delivers at this moment."""


class TimelineAck(Model):
    """Body of ``POST /v1/timeline/ack``: this reader holds everything up to ``dts`` durably."""

    reader: str
    timeline: str
    dts: int


class TimelineEnd(Model):
    """Record ``end``: the session is over; nothing follows."""

    reason: str
    """WindowPassed, Disabled or KeyRotated."""
    finished_at: datetime


def _later(dts: int | None, ticks: int) -> int | None:
    return None if dts is None else dts + ticks
