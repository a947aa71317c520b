"""One WebRTC connection: an offer in; the answer and then encoded frames with their times out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError

from sluice_media.formats.units import TrackKind
from sluice_media.whip.aiortc_internals import (
    pass_frames,
    reception,
    send_keyframe_request,
    share_port,
)
from sluice_media.whip.h264_choice import LIBRARY_PROFILE_LEVEL_ID
from sluice_media.whip.media_port import MediaPort
from sluice_media.whip.offer import CodecsMissing, Offer
from sluice_media.whip.sync import MediaClock

OnFrame = Callable[[TrackKind, bytes, int], None]
"""Function (track, encoded frame, time in 90 kHz ticks)."""
_CODECS = {"audio": ("audio/opus",), "video": ("video/h264", "video/rtx")}
_MAX_SOURCES = 64
"""Maximum number of RTP sources. Sound, pictures and retransmissions need three; a browser that
restarts its tracks adds more."""


class Peer:
    """One connection. Its owner must call :meth:`close`, also after an error."""

    def __init__(self, on_frame: OnFrame, on_loss: Callable[[], None]) -> None:
        """``on_loss`` is called when pictures are lost and a keyframe was requested."""
        loop = asyncio.get_running_loop()
        self._on_frame = on_frame
        self._on_loss = on_loss
        self._clock = MediaClock()
        self._loop = loop
        self._connection = RTCPeerConnection(
            # No STUN server: one that does not answer costs 5 s, and our address is configured.
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self._connection.on("connectionstatechange", self._on_state)
        self._receivers: dict[TrackKind, RTCRtpReceiver] = {}
        self._lost = 0
        self.received_at = loop.time()
        """Time of the last frame or sender report. Both are authenticated by SRTP."""
        self.ended: asyncio.Future[str] = loop.create_future()
        """The reason for the end of the connection, as text."""

    async def answer(
        self, offer: Offer, port: MediaPort, candidates: Sequence[tuple[str, int]]
    ) -> str:
        """Return the SDP answer with all candidates.

        Raise CodecsMissing, or ValueError for an offer that aiortc refuses.
        """
        connection = self._connection
        for kind, mime_types in _CODECS.items():
            transceiver = connection.addTransceiver(kind, direction="recvonly")
            known = RTCRtpReceiver.getCapabilities(kind)
            assert known is not None
            transceiver.setCodecPreferences(
                [
                    codec
                    for codec in known.codecs
                    if codec.mimeType.lower() in mime_types
                    and codec.parameters.get("profile-level-id") in (None, LIBRARY_PROFILE_LEVEL_ID)
                ]
            )
        try:
            await connection.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        except OperationError as error:
            raise CodecsMissing("the offer has no supported combination of formats") from error
        except (InvalidAccessError, InvalidStateError) as error:
            raise ValueError("the offer cannot be answered") from error
        for transceiver in connection.getTransceivers():
            self._receive(TrackKind(transceiver.kind), transceiver.receiver)
        share_port(self._receivers[TrackKind.VIDEO], port, candidates)
        await connection.setLocalDescription(await connection.createAnswer())
        return offer.h264.answered(str(connection.localDescription.sdp))

    async def request_keyframe(self) -> bool:
        """Request a keyframe. Return False when the peer has sent no video lately."""
        return await send_keyframe_request(self._receivers[TrackKind.VIDEO])

    def newly_lost(self) -> int:
        """Return the number of packets lost since the last call. Call it every second.

        A peer that uses too many RTP sources is disconnected here.
        """
        receptions = [reception(receiver) for receiver in self._receivers.values()]
        if sum(sources for sources, _ in receptions) > _MAX_SOURCES:
            self._end("the sender used too many RTP sources")
        lost = sum(lost for _, lost in receptions)
        newly, self._lost = max(0, lost - self._lost), max(lost, self._lost)
        return newly

    async def close(self) -> None:
        """Close the connection."""
        self._end("closed by us")
        await self._connection.close()

    def _receive(self, kind: TrackKind, receiver: RTCRtpReceiver) -> None:
        def on_frame(data: bytes, timestamp: int) -> None:
            now = self.received_at = self._loop.time()
            if data and not self.ended.done():
                self._on_frame(kind, data, self._clock.time_of(kind, timestamp, now))

        def on_report(ntp: int, timestamp: int) -> None:
            self.received_at = self._loop.time()
            self._clock.report(kind, ntp, timestamp)

        def on_end() -> None:
            self._end("the sender ended the stream")

        self._receivers[kind] = receiver
        pass_frames(receiver, on_frame, on_report, self._on_loss, on_end)

    def _on_state(self) -> None:
        state = self._connection.connectionState
        if state in ("failed", "closed"):
            self._end(f"the connection is {state}")

    def _end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)
