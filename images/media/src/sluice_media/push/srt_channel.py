"""Channel over SRT: an SRT caller sends MPEG-TS packets, paced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog
from pydantic import SecretStr

from sluice_media.contract import TargetErrorClass
from sluice_media.formats.codecs import CodecError
from sluice_media.formats.mpegts.mux import TsMuxer
from sluice_media.formats.units import TrackFormat
from sluice_media.net.address_guard import Address, DialGuard
from sluice_media.net.happy_eyeballs import first_to_connect
from sluice_media.protocols.srt.caller import SrtCaller, SrtTarget, dial
from sluice_media.protocols.srt.errors import ConnectionLost, ConnectRefused, ConnectTimeout
from sluice_media.protocols.srt.url import SrtUrl
from sluice_media.push.channel import Backlog, CodecRefused
from sluice_media.push.failures import Failure, TargetFailure, from_srt_refusal
from sluice_media.push.feeder import QueuedUnit
from sluice_media.push.tracks import AudioPolicy, TrackPlan, carried_by_ts

_CONNECT_DELAY_SECONDS = 1.0
"""Delay before the next address is called in parallel. It is longer than over TCP, because an
answered SRT handshake is a publish, and two publishes at one server would push each other off."""
_LIVENESS_SECONDS = 0.25
_DRAIN_SECONDS = 4.0
_HELD_BACK_SECONDS = 1.0
"""Time after a wait for acknowledgements in which the target counts as the cause of the backlog. A
connection that breaks in this time has a target that stopped answering."""
_log = structlog.get_logger(__name__)


class SrtChannel:
    """A :class:`sluice_media.push.channel.Channel`. ``place`` is the redacted address, for
    messages."""

    paced = True

    def __init__(self, place: str, url: SrtUrl, guard: DialGuard, audio: AudioPolicy) -> None:
        self._place = place
        self._url = url
        self._guard = guard
        self._ts = TsWriter(TrackPlan(audio))
        self._caller: SrtCaller | None = None
        self._last = Backlog(0)

    async def open(self) -> None:
        try:
            _, caller = await first_to_connect(
                await self._guard.addresses(self._url.host),
                lambda address: dial(self._srt_target(address)),
                SrtCaller.close,
                delay_seconds=_CONNECT_DELAY_SECONDS,
                failure=(ConnectRefused, ConnectTimeout),
                rank=lambda failure: isinstance(failure, ConnectTimeout),
            )
        except ConnectRefused as refused:
            raise TargetFailure(from_srt_refusal(refused, self._place)) from None
        except ConnectTimeout:
            raise TargetFailure(
                Failure(
                    TargetErrorClass.TIMEOUT,
                    f"{self._place} does not answer over SRT: nothing listens there, or "
                    "something blocks UDP",
                )
            ) from None
        self._caller = caller

    async def watch(self) -> Failure:
        caller = self._open_caller()
        while caller.connected:  # noqa: ASYNC110  libsrt has no event for it
            await asyncio.sleep(_LIVENESS_SECONDS)
        return self._loss()

    async def send(self, items: Sequence[QueuedUnit]) -> int:
        data = self._ts.encode(items)
        try:
            await self._open_caller().send(data, items[-1].unit.dts)
        except ConnectionLost:
            raise TargetFailure(self._loss()) from None
        return len(data)

    async def finish(self, items: Sequence[QueuedUnit], *, goodbye: bool) -> int:
        sent = await self.send(items) if items else 0
        await self._open_caller().drain(_DRAIN_SECONDS)
        self.abort()  # SRT closes every connection in the same way
        return sent

    def keep_alive(self) -> int:
        """Send nothing: SRT itself sends a keep-alive once a second."""
        return 0

    def backlog(self) -> Backlog:
        stats = self._caller.stats() if self._caller is not None else None
        if stats is not None:
            self._last = Backlog(
                stats.send_buffer_bytes,
                lost_bytes=stats.send_dropped_bytes,
                is_held_back=self._is_held_back,
            )
        return self._last

    def abort(self) -> None:
        if self._caller is not None:
            self._caller.close()

    def _srt_target(self, address: Address) -> SrtTarget:
        url = self._url
        return SrtTarget(
            str(address),
            url.port,
            SecretStr(url.stream_id),
            None if url.passphrase is None else SecretStr(url.passphrase),
            url.latency_ms,
            key_bytes=url.key_bytes,
        )

    def _open_caller(self) -> SrtCaller:
        if self._caller is None:
            raise RuntimeError("the channel is not open")
        return self._caller

    @property
    def _is_held_back(self) -> bool:
        at = self._open_caller().held_back_at
        return at is not None and time.monotonic() - at <= _HELD_BACK_SECONDS

    def _loss(self) -> Failure:
        if self._is_held_back:
            return Failure(TargetErrorClass.TIMEOUT, f"{self._place} stopped answering")
        return Failure(TargetErrorClass.CLOSED, "the target closed the connection")


class TsWriter:
    """Tracks and clock of one connection (pure): units in, transport packets out."""

    def __init__(self, plan: TrackPlan) -> None:
        self._plan = plan
        self._muxer: TsMuxer | None = None
        self._source: tuple[TrackFormat, ...] | None = None
        self._formats: tuple[TrackFormat, ...] | None = None
        self._first_dts: int | None = None
        self._complained = False

    def encode(self, items: Sequence[QueuedUnit]) -> bytes:
        """Return the packets of some units. A broken unit is left out.

        Raises CodecRefused when the stream changes to tracks that MPEG-TS cannot carry.
        """
        parts: list[bytes] = []
        for item in items:
            if item.formats is not self._source:
                self._source = item.formats
                self._begin(self._plan.take_formats(item.formats))
            if self._first_dts is None:
                self._first_dts = item.unit.dts
            for unit in self._plan.units(item.unit):
                if unit.dts >= self._first_dts and self._muxer is not None:
                    try:
                        parts.append(self._muxer.write(unit))
                    except CodecError as broken:
                        self._complain(broken)
        return b"".join(parts)

    def _begin(self, formats: tuple[TrackFormat, ...]) -> None:
        if formats == self._formats:
            return
        self._formats = formats
        if problem := carried_by_ts(formats):
            raise CodecRefused(problem)
        self._muxer = TsMuxer(formats, after=self._muxer)

    def _complain(self, broken: CodecError) -> None:
        if not self._complained:
            self._complained = True
            _log.warning("unit_left_out", why=str(broken))
