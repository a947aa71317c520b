"""Which tracks go to a target, and whether its protocol can carry them (pure).

In: the stream's tracks and units, and the Restream's ``audio``. Out: the target's tracks and
units, or a sentence that says what to change.
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
"""Codecs that came to RTMP with Enhanced RTMP. A server can announce them since version 2; most of
those that take them do not (SRS, and everything that implements version 1)."""


class Carrier(Enum):
    """What a target's protocol is made of."""

    FLV = "RTMP"
    TS = "SRT"


def outgoing(formats: Sequence[TrackFormat], audio: AudioPolicy) -> tuple[TrackFormat, ...]:
    """The tracks as the target gets them: video, and at most one audio track. Its number is always
    the same: a target does not follow a sound that goes on as another track."""
    video = tuple(f for f in formats if f.kind is TrackKind.VIDEO)[:1]
    sound = tuple(replace(f, track=SOUND_TRACK) for f in _sound(formats))
    if audio == "Drop":
        return video
    if audio == "Silence" and formats:
        return (*video, silent_format(sound[0] if sound else None))
    return video + sound


def _sound(formats: Sequence[TrackFormat]) -> tuple[TrackFormat, ...]:
    """Return the audio track of the source that a target gets, if there is one."""
    return tuple(f for f in formats if f.kind is TrackKind.AUDIO)[:1]


def mismatch(formats: Sequence[TrackFormat], audio: AudioPolicy, carrier: Carrier) -> str | None:
    """Why these tracks cannot be pushed, and what to change; None when they can, or when only
    the target can tell (RTMP with HEVC)."""
    if not formats:
        return "The stream has no track that can be pushed."
    chosen = outgoing(formats, audio)
    if not chosen:
        return "The stream has audio only, and audio is Drop: nothing is left. Set audio to Keep."
    if carrier is Carrier.FLV:
        return None
    return carried_by_ts(chosen)


def carried_by_ts(formats: Sequence[TrackFormat]) -> str | None:
    """Why MPEG-TS cannot carry these tracks, and what to change; None when it can."""
    try:
        TsMuxer(formats)
    except (CodecError, ValueError) as unable:
        return (
            f"SRT targets take MPEG-TS, and {unable}. Set the encoder to H.264 or HEVC with "
            "AAC-LC, or audio to Silence."
        )
    return None


def refused_codec(fourcc: str) -> str:
    """What to change when an RTMP target does not announce a codec."""
    name = next(codec.name for codec, known in FOURCCS.items() if known == fourcc)
    return (
        f"The target does not announce {name} over RTMP (Enhanced RTMP), and the stream is {name}. "
        f"When the platform takes {name} all the same, set videoCodecs to Assume; else set the "
        "encoder to H.264, or push to an SRT address of the platform."
    )


class TrackPlan:
    """Chooses and makes the tracks of one connection."""

    def __init__(self, audio: AudioPolicy) -> None:
        self._audio = audio
        self._silence: Silence | None = None
        self._source: tuple[TrackFormat, ...] | None = None
        self._formats: tuple[TrackFormat, ...] = ()
        self._numbers: dict[int, int] = {}
        """Track of the source -> track of the target."""
        self._stands_alone = False

    def take_formats(self, formats: tuple[TrackFormat, ...]) -> tuple[TrackFormat, ...]:
        """The target's tracks from the next unit on. What does not concern the target (another
        audio, where it is dropped or replaced) leaves them equal."""
        if formats is not self._source:
            self._source = formats
            chosen = outgoing(formats, self._audio)
            video = tuple(f for f in chosen if f.kind is TrackKind.VIDEO)
            self._numbers = {f.track: f.track for f in video}
            if self._audio == "Keep":
                self._numbers |= {f.track: SOUND_TRACK for f in _sound(formats)}
            if self._audio == "Silence":
                # Made once: a target that has seen one kind of silence must not see another.
                if self._silence is None:
                    self._silence = Silence(next(iter(_sound(formats)), None))
                self._stands_alone = not video
                chosen = (*video, self._silence.format)
            self._formats = chosen
        return self._formats

    def units(self, unit: AccessUnit) -> Sequence[AccessUnit]:
        """What goes to the target for one unit of the stream, in order."""
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
