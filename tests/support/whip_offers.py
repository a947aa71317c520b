"""SDP offers as browsers and encoders make them."""

from __future__ import annotations

from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

__all__ = ["ENCODERS", "OFFER", "make_offer", "offer_of", "without"]

_AUDIO = """\
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:1 1 udp 2122260223 8f2c.local 50000 typ host
a=candidate:2 1 udp 2122260222 169.254.169.254 80 typ host
a=end-of-candidates
a=ice-ufrag:ABcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
a=mid:0
a=sendonly
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
"""
_VIDEO = """\
m=video 9 UDP/TLS/RTP/SAVPF 102 103
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:ABcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
a=mid:1
a=sendonly
a=rtcp-mux
a=rtpmap:102 H264/90000
a=rtcp-fb:102 nack pli
a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
a=rtpmap:103 rtx/90000
a=fmtp:103 apt=102
"""
_HEAD = "v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0 1\n"
_FINGERPRINT = ":".join(["AB"] * 32)

OFFER = (_HEAD + _AUDIO + _VIDEO).format(fingerprint=_FINGERPRINT).replace("\n", "\r\n")


_CHROMIUM_H264 = tuple(
    f"{profile} {mode}" for profile in ("42001f", "42e01f", "4d001f", "f4001f", "64001f")
    for mode in (1, 0)
)  # fmt: skip
_BACKWARDS = "profile-level-id={};packetization-mode=1;level-asymmetry-allowed=1"
_ASYMMETRY = "level-asymmetry-allowed=1;packetization-mode={};profile-level-id={}"


def _h264(*formats: str, first: int = 102) -> dict[int, str]:
    """Return formats by payload type, from texts ``profile-level-id packetization-mode``."""
    made = {}
    for number, parameters in enumerate(formats):
        profile, mode = parameters.split()
        made[first + 2 * number] = "H264 " + _ASYMMETRY.format(mode, profile)
    return made


ENCODERS = {
    "Chromium": {96: "VP8", **_h264(*_CHROMIUM_H264), 45: "AV1", 98: "VP9 profile-id=0"},
    "Chromium, High preferred": _h264("64001f 1", "42e01f 1"),
    "Firefox": {
        120: "VP8 max-fs=12288;max-fr=60",
        121: "VP9 max-fs=12288;max-fr=60",
        126: "H264 profile-level-id=42e01f;level-asymmetry-allowed=1;packetization-mode=1",
        97: "H264 profile-level-id=42e01f;level-asymmetry-allowed=1",
        105: "H264 profile-level-id=42001f;level-asymmetry-allowed=1;packetization-mode=1",
    },
    "Safari": {**_h264("640c1f 1", "42e01f 1", first=96), 100: "VP8", 102: "H265 level-id=93"},
    "OBS": {96: "H264 " + _BACKWARDS.format("42e01f")},
    "OBS, High": {96: "H264 " + _BACKWARDS.format("640028")},
    "FFmpeg, Main": _h264("4d4028 1", first=106),
    "GStreamer": {96: "H264 packetization-mode=1; profile-level-id=640028; sprop-parameter-sets=Z"},
    "hardware": {99: "h264"},
}  # fmt: skip
"""Formats of the video section: payload type, and name with parameters."""


def offer_of(formats: dict[int, str]) -> str:
    head, _, video = OFFER.partition("m=video 9 UDP/TLS/RTP/SAVPF 102 103")
    lines = [line for line in video.split("\r\n")[1:] if not line.endswith(":102 nack pli")]
    lines = [line for line in lines if not line.startswith(("a=rtpmap", "a=fmtp"))][:-1]
    for number, encoding in formats.items():
        name, _, parameters = encoding.partition(" ")
        lines.append(f"a=rtpmap:{number} {name}/90000")
        lines += [f"a=rtcp-fb:{number} nack", f"a=rtcp-fb:{number} nack pli"]
        if parameters:
            lines.append(f"a=fmtp:{number} {parameters}")
    numbers = " ".join(map(str, formats))
    return head + "\r\n".join([f"m=video 9 UDP/TLS/RTP/SAVPF {numbers}", *lines, ""])


def without(text: str, replacement: str = "") -> str:
    """Return the offer with a text replaced. The offer must hold the text."""
    assert text in OFFER
    return OFFER.replace(text, replacement)


async def make_offer(codec: str = "video/H264") -> str:
    """Return an offer that aiortc makes."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver(AudioStreamTrack(), direction="sendonly")
    video = connection.addTransceiver(VideoStreamTrack(), direction="sendonly")
    capabilities = RTCRtpSender.getCapabilities("video")
    assert capabilities is not None
    video.setCodecPreferences([c for c in capabilities.codecs if c.mimeType == codec])
    await connection.setLocalDescription(await connection.createOffer())
    sdp = connection.localDescription.sdp
    await connection.close()
    return str(sdp)
