"""Checks of an SDP offer before any resource is allocated for it (pure).

Sources: RFC 9725 section 4.2 (one bundle, the client sends only), RFC 9429 (JSEP), RFC 6184 section
8.1 (H.264 over RTP), RFC 7587 (Opus over RTP).
"""

from __future__ import annotations

from dataclasses import dataclass

from aiortc.sdp import MediaDescription, SessionDescription

from sluice_media.whip.h264_choice import H264Choice, choose_h264

MAX_OFFER_BYTES = 64 << 10
"""Maximum size of an offer. A browser that lists all its codecs sends about 7 kB."""
_MAX_LINES = 2_000
_UNUSABLE = (
    "the offer has no supported H.264 format; supported are Baseline, Main or High profile with "
    "packetization mode 0 or 1"
)
_REMOTE_CANDIDATES = ("a=candidate:", "a=end-of-candidates", "a=remote-candidates:")


class BadOffer(ValueError):  # noqa: N818  names the fact
    """An offer that cannot be parsed or that WHIP does not allow. The text is for people."""


class CodecsMissing(BadOffer):
    """An offer without H.264 or Opus in a supported form."""


@dataclass(slots=True, frozen=True)
class Offer:
    """A checked offer."""

    sdp: str
    """The offer without the peer's candidates. The peer connects to us, and we never send to an
    address from an offer. So an offer cannot make us probe a network, and its mDNS names need not
    be resolved."""
    h264: H264Choice
    """The H.264 format for the answer. ``sdp`` holds it in the form that aiortc supports."""


def parse_offer(text: str) -> Offer:
    """Check an offer. Raise BadOffer or CodecsMissing."""
    lines = text.splitlines()
    if len(lines) > _MAX_LINES:
        raise BadOffer(f"the offer has more than {_MAX_LINES} lines")
    sdp = "\r\n".join(line for line in lines if not line.startswith(_REMOTE_CANDIDATES)) + "\r\n"
    try:
        description = SessionDescription.parse(sdp)
    except Exception as error:  # the library's parser raises errors of any type
        raise BadOffer("the body is not a valid SDP offer") from error
    audio = [media for media in description.media if media.kind == "audio"]
    video = [media for media in description.media if media.kind == "video"]
    if len(description.media) != len(audio) + len(video):
        raise BadOffer("the offer has sections that are neither audio nor video")
    if len(audio) > 1 or len(video) > 1:
        raise BadOffer("the offer has more than one audio or more than one video section")
    _check_codecs(audio, video)
    bundled = {str(item) for group in description.group if group.semantic == "BUNDLE"
               for item in group.items}  # fmt: skip
    for media in description.media:
        _check_media(media, bundled)
    h264 = choose_h264(video[0])
    if h264 is None:
        raise CodecsMissing(_UNUSABLE)
    return Offer(h264.for_library(sdp), h264)


def _check_codecs(audio: list[MediaDescription], video: list[MediaDescription]) -> None:
    def offers(sections: list[MediaDescription], name: str) -> bool:
        return any(
            codec.name.lower() == name and section.port != 0
            for section in sections
            for codec in section.rtp.codecs
        )

    missing = [
        name
        for name, present in (
            ("H.264 video", offers(video, "h264")),
            ("Opus audio", offers(audio, "opus")),
        )
        if not present
    ]
    if missing:
        raise CodecsMissing(
            f"the offer has no {' and no '.join(missing)}; H.264 and Opus are both required"
        )


def _check_media(media: MediaDescription, bundled: set[str]) -> None:
    if media.direction not in (None, "sendonly", "sendrecv"):
        raise BadOffer(f"the {media.kind} section does not send")
    if not media.rtp.muxId or media.rtp.muxId not in bundled:
        raise BadOffer("audio and video must be in one BUNDLE group")
    if not media.rtcp_mux:
        raise BadOffer("RTP and RTCP must be multiplexed (rtcp-mux)")
    ice, dtls = media.ice, media.dtls
    if ice is None or not ice.usernameFragment or not ice.password:
        raise BadOffer("the offer has no ICE credentials")
    if dtls is None or not dtls.fingerprints:
        raise BadOffer("the offer has no DTLS fingerprint")
