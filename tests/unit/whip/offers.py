"""SDP offers as browsers make them."""

from __future__ import annotations

from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

__all__ = ["OFFER", "make_offer", "without"]

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


def without(words: str, instead: str = "") -> str:
    """The offer with something changed; the test is wrong when it is not there."""
    assert words in OFFER
    return OFFER.replace(words, instead)


async def make_offer(codec: str = "video/H264") -> str:
    """A real one."""
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
