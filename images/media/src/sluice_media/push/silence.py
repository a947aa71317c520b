"""Silence as an AAC track: frames of digital zero on the sample clock (pure).

The format of the source's audio and the progress of the media come in. A track format and its units
go out. No encoder is needed: a frame without any spectral data *is* silence.

Source: ISO/IEC 14496-3:2019, clause 4.4.2 (raw_data_block and its elements), 1.6.2.1
(AudioSpecificConfig).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sluice_media.formats.codecs import CodecError, aac
from sluice_media.formats.units import (
    TICKS_PER_SECOND,
    AccessUnit,
    Codec,
    TrackFormat,
    TrackKind,
    UnitFlags,
)

SOUND_TRACK = 1
"""Number of a target's audio track: that of a source's first audio track, which silence
replaces."""
_SAMPLES = 1_024
_MAX_CATCH_UP_SECONDS = 10
"""Maximum jump of the media that is filled with silence. A larger jump starts other content."""
_RATES = (
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
)  # fmt: skip
_SCE, _CPE, _LFE, _END = 0, 1, 3, 7
_ELEMENTS: dict[int, Sequence[int]] = {
    1: (_SCE,),
    2: (_CPE,),
    3: (_SCE, _CPE),
    4: (_SCE, _CPE, _SCE),
    5: (_SCE, _CPE, _CPE),
    6: (_SCE, _CPE, _CPE, _LFE),
    7: (_SCE, _CPE, _CPE, _CPE, _LFE),
}
"""Syntactic elements by channel configuration (table 1.19)."""
_DEFAULT_RATE, _DEFAULT_CONFIGURATION = 48_000, 2


def silent_format(source: TrackFormat | None) -> TrackFormat:
    """Return AAC-LC with the source's rate and channels. Return 48 kHz stereo when there is no
    audio, or when its frames are not plain AAC-LC (HE-AAC, low delay, a channel configuration of
    its own)."""
    rate, configuration = _DEFAULT_RATE, _DEFAULT_CONFIGURATION
    if source is not None and source.codec is Codec.AAC:
        try:
            parsed = aac.parse_asc(source.config)
        except CodecError:
            pass  # a configuration that cannot be read leaves the default
        else:
            if (
                parsed.object_type == aac.AOT_LC
                and parsed.output_sample_rate == parsed.sample_rate
                and parsed.samples_per_frame == _SAMPLES
                and parsed.sample_rate in _RATES
                and parsed.channel_configuration in _ELEMENTS
            ):
                rate, configuration = parsed.sample_rate, parsed.channel_configuration
    config = aac.AOT_LC << 11 | _RATES.index(rate) << 7 | configuration << 3
    return TrackFormat(
        track=SOUND_TRACK,
        kind=TrackKind.AUDIO,
        codec=Codec.AAC,
        config=config.to_bytes(2, "big"),
        sample_rate=rate,
        channels=aac.parse_asc(config.to_bytes(2, "big")).channels,
    )


def silent_frame(channel_configuration: int) -> bytes:
    """Return one raw frame of silence for a channel configuration of 1 to 7."""
    bits = ""
    numbers = dict.fromkeys((_SCE, _CPE, _LFE), 0)
    for element in _ELEMENTS[channel_configuration]:
        bits += f"{element:03b}{numbers[element]:04b}"
        numbers[element] += 1
        if element == _CPE:
            # common_window with one ics_info, no M/S, then two channels without an ics_info.
            bits += "1" + _ICS_INFO + "00" + _channel("") * 2
        else:
            bits += _channel(_ICS_INFO)
    bits += f"{_END:03b}"
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


_ICS_INFO = "0" + "00" + "0" + "000000" + "0"
"""Reserved, ONLY_LONG_SEQUENCE, sine window, max_sfb 0 (no spectrum), no prediction."""


def _channel(ics_info: str) -> str:
    """Return an individual_channel_stream(): gain and info, without pulses, TNS and gain
    control."""
    return f"{100:08b}" + ics_info + "000"


class Silence:
    """Silent track of one connection, with its sample clock."""

    def __init__(self, source: TrackFormat | None) -> None:
        self.format = silent_format(source)
        self._frame = silent_frame(aac.parse_asc(self.format.config).channel_configuration)
        self._base: int | None = None
        self._frames = 0

    def until(self, dts: int, utc_us: int) -> Iterator[AccessUnit]:
        """Yield the next frames that begin before ``dts`` (90 kHz). The first frame begins at the
        first ``dts``."""
        if self._base is None or abs(dts - self._next()) > _MAX_CATCH_UP_SECONDS * TICKS_PER_SECOND:
            self._base, self._frames = dts, 0
        while (at := self._next()) < dts:
            self._frames += 1
            yield AccessUnit(SOUND_TRACK, at, at, UnitFlags.NONE, utc_us, self._frame)

    def _next(self) -> int:
        base = 0 if self._base is None else self._base
        return base + self._frames * _SAMPLES * TICKS_PER_SECOND // self.format.sample_rate
