"""Functions for tests that publish over RTMP."""

from __future__ import annotations

from sluice_media.protocols.rtmp import ClientSession

__all__ = ["media_message"]


def media_message(session: ClientSession, type_id: int, timestamp_ms: int, payload: bytes) -> bytes:
    """Return an audio, video or data message in one piece; ``type_id`` is a MessageType."""
    return b"".join(session.media_buffers(type_id, timestamp_ms, payload))
