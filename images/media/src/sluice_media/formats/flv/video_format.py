"""Format of an FLV source's video: sequence headers and keyframes in, the format in force out.

A sequence header is not final: encoders that repeat the parameter sets in their keyframes may
change them there. Many encoders also repeat the unchanged header. A repeated header undoes the
changes of keyframes only at the next keyframe, which may change the sets again.

Sources: ISO/IEC 14496-15 clause 5.3.3.1 (avcC) and 8.3.3.1 (hvcC).
"""

from __future__ import annotations

from collections.abc import Sequence

from sluice_media.formats.codecs import CodecError, h264, hevc
from sluice_media.formats.codecs.parameter_sets import (
    AvcParameterSets,
    HevcParameterSets,
    ParameterSets,
)
from sluice_media.formats.errors import MediaError
from sluice_media.formats.flv.packets import Packet
from sluice_media.formats.units import Codec, TrackFormat, TrackKind

VIDEO_TRACK = 0


class VideoFormat:
    """Format of one codec, from one sequence header to the next different one.

    Raises MediaError when the header is broken.
    """

    def __init__(self, header: Packet) -> None:
        self.header = header
        self._header_repeated = False
        self._is_h264 = header.codec is Codec.H264
        try:
            self.in_force, self.nal_length_size = self._parse(header.body)
            self._sets = self._sets_of_header()
        except CodecError as broken:
            raise MediaError(f"The {header.codec} configuration is broken: {broken}.") from broken

    def repeat_header(self) -> None:
        """Note that the source repeated its sequence header."""
        self._header_repeated = True

    def take_picture(self, sample: bytes) -> bool:
        """Return whether decoding can start at an access unit. If so, its parameter sets are in
        force.

        Raises CodecError when the unit is broken. Then nothing is changed.
        """
        codec = h264 if self._is_h264 else hevc
        if not codec.is_random_access(sample, self.nal_length_size):
            return False
        sets, config = self._sets, self.in_force.config
        if self._header_repeated:
            sets, config = self._sets_of_header(), self.header.body
        if sets.take_sample(sample, self.nal_length_size):
            config = sets.config(self.nal_length_size) or config
        if config != self.in_force.config:
            self.in_force, _ = self._parse(config)
        self._sets, self._header_repeated = sets, False
        return True

    def _parse(self, config: bytes) -> tuple[TrackFormat, int]:
        parsed: h264.AvcConfig | hevc.HevcConfig
        parsed = h264.parse_avcc(config) if self._is_h264 else hevc.parse_hvcc(config)
        found = TrackFormat(
            VIDEO_TRACK,
            TrackKind.VIDEO,
            self.header.codec,
            config,
            width=parsed.width,
            height=parsed.height,
        )
        return found, parsed.nal_length_size

    def _sets_of_header(self) -> ParameterSets:
        sets: ParameterSets
        nals: Sequence[tuple[int, bytes]]
        if self._is_h264:
            avc, sets = h264.parse_avcc(self.header.body), AvcParameterSets()
            nals = [(h264.NAL_SPS, nal) for nal in avc.sps]
            nals += [(h264.NAL_PPS, nal) for nal in avc.pps]
        else:
            parsed, sets = hevc.parse_hvcc(self.header.body), HevcParameterSets()
            nals = [(hevc.NAL_VPS, nal) for nal in parsed.vps]
            nals += [(hevc.NAL_SPS, nal) for nal in parsed.sps]
            nals += [(hevc.NAL_PPS, nal) for nal in parsed.pps]
        sets.take(nals)
        return sets
