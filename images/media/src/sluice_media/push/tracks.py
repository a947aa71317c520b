"""Choice of the tracks for a target, and the check that its protocol can carry them (pure).

The stream's tracks and units come in, with the Restream's ``audio``. The target's tracks and units
go out, or a sentence on what to change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from typing import Literal

from sluice_media.formats.codecs import CodecError
from sluice_media.formats.mpegts.mux import TsMuxer
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags
from sluice_media.push.silence import SOUND_TRACK, Silence, silent_format

AudioPolicy = Literal["Keep", "Drop", "Silence"]
VideoCodecs = Literal["Announced", "Assume"]
FOURCCS = {Codec.HEVC: "hvc1"}
"""Codecs that Enhanced RTMP added. Since version 2 a server can announce them. Most servers that
take them do not announce them (SRS, and all servers with version 1)."""


class Carrier(Enum):
    """Container of a target's protocol."""

    FLV = "RTMP"
    TS = "SRT"


def outgoing(formats: Sequence[TrackFormat], audio: AudioPolicy) -> tuple[TrackFormat, ...]:
    """Return the tracks of the target: video, and at most one audio track. The audio track always
    has the same number, because a target does not follow audio that moves to another track."""
    video = tuple(f for f in formats if f.kind is TrackKind.VIDEO)[:1]
    sound = tuple(replace(f, track=SOUND_TRACK) for f in _sound(formats))
    if audio == "Drop":
        return video
    if audio == "Silence" and formats:
        return (*video, silent_format(sound[0] if sound else None))
    return video + sound


def _sound(formats: Sequence[TrackFormat]) -> tuple[TrackFormat, ...]:
    """Return the audio track of the source that the target gets, if there is one."""
    return tuple(f for f in formats if f.kind is TrackKind.AUDIO)[:1]


def mismatch(formats: Sequence[TrackFormat], audio: AudioPolicy, carrier: Carrier) -> str | None:
    """Return why these tracks cannot be pushed, and what to change. Return None when they can, or
    when only the target can decide (RTMP with HEVC)."""
    if not formats:
        return "The stream has no track that can be pushed. Check the encoder's output."
    chosen = outgoing(formats, audio)
    if not chosen:
        return "The stream has only audio, and the Restream drops it. Set audio to Keep."
    if carrier is Carrier.FLV:
        return None
    return carried_by_ts(chosen)


def carried_by_ts(formats: Sequence[TrackFormat]) -> str | None:
    """Return why MPEG-TS cannot carry these tracks, and what to change; None when it can."""
    try:
        TsMuxer(formats)
    except (CodecError, ValueError) as unable:
        return (
            f"An SRT target needs MPEG-TS, and {unable}. Set the encoder to H.264 or HEVC with "
            "AAC-LC, or set the Restream's audio to Silence."
        )
    return None


def refused_codec(fourcc: str) -> str:
    """Return the message for an RTMP target that does not announce a codec."""
    name = next(codec.name for codec, known in FOURCCS.items() if known == fourcc)
    return (
        f"The stream is {name}, and the target does not announce {name} over RTMP (Enhanced RTMP). "
        f"If the platform takes {name} without announcing it, set videoCodecs to Assume. If not, "
        "set the encoder to H.264, or push to an SRT address of the platform."
    )


class TrackPlan:
    """Tracks of one connection: chosen from the source, or made of silence."""

    def __init__(self, audio: AudioPolicy) -> None:
        self._audio = audio
        self._silence: Silence | None = None
        self._source: tuple[TrackFormat, ...] | None = None
        self._formats: tuple[TrackFormat, ...] = ()
        self._numbers: dict[int, int] = {}
        """Number of the source's track -> number of the target's track."""
        self._stands_alone = False

    def take_formats(self, formats: tuple[TrackFormat, ...]) -> tuple[TrackFormat, ...]:
        """Set the source's tracks; return the target's tracks from the next unit on.

        A change that does not reach the target (other audio that is dropped or replaced) returns
        equal tracks.
        """
        if formats is not self._source:
            self._source = formats
            chosen = outgoing(formats, self._audio)
            video = tuple(f for f in chosen if f.kind is TrackKind.VIDEO)
            self._numbers = {f.track: f.track for f in video}
            if self._audio == "Keep":
                self._numbers |= {f.track: SOUND_TRACK for f in _sound(formats)}
            if self._audio == "Silence":
                # Made only once: the format of the silence must not change within a connection.
                if self._silence is None:
                    self._silence = Silence(next(iter(_sound(formats)), None))
                self._stands_alone = not video
                chosen = (*video, self._silence.format)
            self._formats = chosen
        return self._formats

    def units(self, unit: AccessUnit) -> Sequence[AccessUnit]:
        """Return the target's units for one unit of the stream, in order."""
        number = self._numbers.get(unit.track)
        wanted: tuple[AccessUnit, ...] = ()
        if number is not None:
            wanted = (unit if unit.track == number else replace(unit, track=number),)
        if self._silence is None:
            return wanted
        silent = self._silence.until(unit.dts, unit.utc_us)
        if self._stands_alone:
            return [replace(s, flags=UnitFlags.RANDOM_ACCESS) for s in silent]
        return [*silent, *wanted]
