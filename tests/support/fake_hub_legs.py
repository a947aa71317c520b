"""The input side of a fake hub: it accepts legs as the test configures it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

from sluice_media.contract import HELLO_HEADER, LegAck, LegEnd, LegHello, Refusal
from sluice_media.formats.units import AccessUnit
from sluice_media.net.upgrade import accept_upgrade
from sluice_media.timeline.leg_framing import LEG_PROTOCOL, LegDecoder, LegMediaRejected

KEY = "right-key"

OUT_OFFSET = 1_000


@dataclass(slots=True, eq=False)
class FakeLeg:
    hello: LegHello
    request: web.Request
    units: list[AccessUnit] = field(default_factory=list)
    notices: int = 0
    """Number of the gateway's notices that a video frame follows."""
    acked_dts: int | None = None
    reported_dts: int = 0
    """Last output source DTS that was reported to the gateway."""
    end: LegEnd | None = None
    ended: str = ""
    """End of the body: "eof" or "broken"."""

    @property
    def pictures(self) -> list[int]:
        """DTS of the video frames in ms, in order of arrival."""
        return [u.dts // 90 for u in self.units if u.track == 0]


class LegSide:
    """A server of the leg protocol. Tests change its attributes at any time."""

    def __init__(self, name: str = "hub") -> None:
        self.name = name
        self.legs: list[FakeLeg] = []
        self.refuse: tuple[int, Refusal | None] | None = None
        self.frozen = False
        self.reads = True
        self.acknowledges: Callable[[FakeLeg], int | None] = lambda leg: None
        """Function that returns the source DTS to acknowledge."""
        self.last_output_dts: Callable[[FakeLeg], int] = lambda leg: 0
        """Function that returns the source DTS of the last output."""
        self.changes: dict[str, object] = {}
        """Changes to its acknowledgements."""
        self.ack_seconds = 0.05

    def abort_legs(self) -> None:
        """Reset the connections of all legs, as a killed process does."""
        for leg in self.legs:
            if leg.request.transport is not None:
                leg.request.transport.abort()

    async def serve_leg(self, request: web.Request) -> web.StreamResponse:
        if self.refuse is not None:
            status, refusal = self.refuse
            text = refusal.to_json() if refusal else "<html>no</html>"
            return web.Response(status=status, text=text)
        if request.headers["Authorization"] != f"Bearer {KEY}":
            body = Refusal(reason="BadKey", message="the stream key is wrong")
            return web.Response(status=401, text=body.to_json())
        upgraded = await accept_upgrade(request, LEG_PROTOCOL, buffer_bytes=64 << 10)
        leg = FakeLeg(LegHello.model_validate_json(request.headers[HELLO_HEADER]), request)
        self.legs.append(leg)
        writer = upgraded.writer
        reading = asyncio.create_task(self._read(leg, upgraded.reader))
        try:
            while not reading.done() and leg.end is None:
                if not self.frozen:
                    writer.write(self._ack(leg).to_json().encode() + b"\n")
                    await writer.drain()
                await asyncio.wait((reading,), timeout=self.ack_seconds)
            if leg.end is not None:
                writer.write(leg.end.to_json().encode() + b"\n")
        except OSError:
            pass
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await upgraded.close(1)
        return upgraded.response

    def _ack(self, leg: FakeLeg) -> LegAck:
        leg.acked_dts = self.acknowledges(leg)
        last_output_dts = self.last_output_dts(leg)
        ack = LegAck(
            stream_uid="uid",
            timeline=f"timeline-of-{self.name}",
            epoch=1,
            leg="primary",
            out_offset=OUT_OFFSET,
            acked_dts=leg.acked_dts,
            last_out_dts=last_output_dts + OUT_OFFSET,
            last_out_utc=datetime.now(UTC),
        )
        leg.reported_dts = last_output_dts
        return ack.model_copy(update=self.changes)

    async def _read(self, leg: FakeLeg, reader: asyncio.StreamReader) -> None:
        decoder = LegDecoder()
        try:
            while data := await reader.read(256 << 10):
                while self.frozen or not self.reads:
                    await asyncio.sleep(0.02)
                for event in decoder.feed(data, 0):
                    if isinstance(event, AccessUnit):
                        leg.units.append(event)
                    else:
                        leg.notices += event.picture_comes
            leg.ended = "eof"
        except LegMediaRejected as rejected:
            leg.end = LegEnd(reason=rejected.reason, message=str(rejected))
        except OSError:
            leg.ended = "broken"
