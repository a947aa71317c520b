"""AAC: AudioSpecificConfig, and the ADTS header that replaces it in MPEG-TS.

Source: ISO/IEC 14496-3:2019, clause 1.6.2.1 (AudioSpecificConfig), 1.6.5 (SBR and PS
signalling), 4.4.1 (GASpecificConfig) and 1.A.3.2 (ADTS).
"""

from __future__ import annotations

from dataclasses import dataclass

from sluice_media.formats.codecs.bits import BitReader
from sluice_media.formats.codecs.errors import CodecError

ADTS_HEADER_BYTES = 7
FRAME_LIMIT_BYTES = 1 << 13
"""Limit that every frame stays below: ADTS has 13 bits for the bytes of frame and header."""

_SAMPLE_RATES = (
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000,
    22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
)  # fmt: skip
_ESCAPED_RATE = 15
_CHANNELS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 13: 24, 14: 8}
_MAX_SAMPLE_RATE = 192_000

AOT_LC = 2
_AOT_SBR = 5
_AOT_ER_LD = 23
_AOT_PS = 29
_AOT_ESCAPE = 31
_AOT_ELD = 39
_GENERAL_AUDIO = frozenset({1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, 23})
_SYNC_EXTENSION = 0x2B7


@dataclass(slots=True, frozen=True)
class AacConfig:
    """A parsed AudioSpecificConfig."""

    object_type: int
    """Audio object type of the core coder: 2 is AAC-LC, also below SBR and PS."""
    sample_rate: int
    """Sample rate of the core coder, in Hz. ``samples_per_frame / sample_rate`` is the duration of
    a frame, also with SBR."""
    channels: int
    """Number of channels of the core coder (parametric stereo makes two out of one)."""
    samples_per_frame: int
    """Number of samples per channel and frame, at ``sample_rate``: 1024 or 960 (low delay: 512 or
    480).
    """
    output_sample_rate: int
    """Sample rate of the output, in Hz: after SBR where the configuration declares it, or
    ``sample_rate``."""
    channel_configuration: int
    """Coded channel configuration; 0 when a program config element describes the channels."""


def parse_asc(config: bytes) -> AacConfig:
    """Parse an AudioSpecificConfig; raises :class:`CodecError`."""
    bits = BitReader(config[:256])
    object_type = _object_type(bits)
    sample_rate = _sample_rate(bits)
    channel_configuration = bits.u(4)
    output_sample_rate = sample_rate
    explicit_sbr = object_type in (_AOT_SBR, _AOT_PS)
    if explicit_sbr:
        output_sample_rate = _sample_rate(bits)
        object_type = _object_type(bits)
    short_frames = False
    channels = _CHANNELS.get(channel_configuration, 0)
    if object_type in _GENERAL_AUDIO:
        short_frames = bits.flag()
        if bits.flag():  # dependsOnCoreCoder
            bits.skip(14)
        extension = bits.flag()
        if channel_configuration == 0:
            channels = _program_config_channels(bits)
        if not extension and not explicit_sbr:
            output_sample_rate = _appended_sbr_rate(bits) or sample_rate
    elif object_type == _AOT_ELD:
        short_frames = bits.flag()
    else:
        raise CodecError(f"audio object type {object_type} is not AAC")
    if not channels:
        raise CodecError(f"AAC channel configuration {channel_configuration} is not known")
    return AacConfig(
        object_type=object_type,
        sample_rate=sample_rate,
        channels=channels,
        samples_per_frame=_samples_per_frame(object_type, short_frames),
        output_sample_rate=output_sample_rate,
        channel_configuration=channel_configuration,
    )


def adts_header(config: AacConfig, payload_len: int) -> bytes:
    """Return the 7 bytes before a raw frame of ``payload_len`` bytes (no CRC).

    Raises :class:`CodecError` when ADTS cannot express the stream: object types above 4, sample
    rates without an index, channels that a program config element describes, frames above 8184
    bytes.
    """
    return adts_frame_header(adts_base(config), payload_len)


def adts_base(config: AacConfig) -> int:
    """Return the part that all frame headers share, for :func:`adts_frame_header`. Raises
    CodecError."""
    if not 1 <= config.object_type <= 4:
        raise CodecError(f"ADTS cannot carry audio object type {config.object_type}")
    if config.sample_rate not in _SAMPLE_RATES:
        raise CodecError(f"ADTS cannot carry a sample rate of {config.sample_rate} Hz")
    if not 1 <= config.channel_configuration <= 7:
        raise CodecError(
            f"ADTS cannot carry AAC channel configuration {config.channel_configuration}"
        )
    header = 0xFFF1 << 40  # syncword, MPEG-4, layer 0, no CRC
    header |= (config.object_type - 1) << 38
    header |= _SAMPLE_RATES.index(config.sample_rate) << 34
    header |= config.channel_configuration << 30
    return header | 0x7FF << 2  # buffer fullness: variable bit rate; one raw data block


def adts_frame_header(base: int, payload_len: int) -> bytes:
    """Return an :func:`adts_header` from the shared part of :func:`adts_base`. Raises
    CodecError."""
    frame_bytes = payload_len + ADTS_HEADER_BYTES
    if payload_len < 0 or frame_bytes >= FRAME_LIMIT_BYTES:
        raise CodecError(f"an AAC frame of {payload_len} bytes does not fit ADTS")
    return (base | frame_bytes << 13).to_bytes(ADTS_HEADER_BYTES, "big")


def _object_type(bits: BitReader) -> int:
    object_type = bits.u(5)
    return 32 + bits.u(6) if object_type == _AOT_ESCAPE else object_type


def _sample_rate(bits: BitReader) -> int:
    index = bits.u(4)
    if index == _ESCAPED_RATE:
        rate = bits.u(24)
        if not 0 < rate <= _MAX_SAMPLE_RATE:
            raise CodecError(f"an AAC sample rate of {rate} Hz is not plausible")
        return rate
    if index >= len(_SAMPLE_RATES):
        raise CodecError(f"AAC sample rate index {index} is reserved")
    return _SAMPLE_RATES[index]


def _samples_per_frame(object_type: int, short_frames: bool) -> int:
    if object_type in (_AOT_ER_LD, _AOT_ELD):
        return 480 if short_frames else 512
    return 960 if short_frames else 1024


def _program_config_channels(bits: BitReader) -> int:
    """Return the number of channels of a program_config_element(), clause 4.4.1.1 table 4.2."""
    bits.skip(4 + 2 + 4)  # element_instance_tag, object_type, sampling_frequency_index
    positioned = bits.u(4) + bits.u(4) + bits.u(4)  # front, side, back
    low_frequency = bits.u(2)
    bits.skip(3 + 4)  # num_assoc_data_elements, num_valid_cc_elements
    for mixdown_bits in (4, 4, 3):
        if bits.flag():
            bits.skip(mixdown_bits)
    channels = low_frequency
    for _ in range(positioned):
        channels += 2 if bits.flag() else 1
        bits.skip(4)
    return channels


def _appended_sbr_rate(bits: BitReader) -> int | None:
    """Return the sample rate after SBR from the backward compatible extension at the end
    (1.6.5.2)."""
    if bits.bits_left < 16 or bits.u(11) != _SYNC_EXTENSION:
        return None
    if _object_type(bits) != _AOT_SBR or not bits.flag():
        return None
    return _sample_rate(bits)
