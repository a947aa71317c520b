"""CMAF (ISO/IEC 23000-19): track formats and access units in, init segments and fragments out.

All functions are pure. Equal arguments give equal bytes, in every process and at any time::

    init_segment(track_format) -> bytes           ftyp and moov
    fragment(sequence, samples, ...) -> bytes     moof and mdat
    read_fragments(data, ...) -> fragments        the samples of such bytes
    codec_string(track_format) -> str             for CODECS in HLS and @codecs in DASH

Every track has its own files, and the timescale of 90 kHz. Nothing is converted, so no time is ever
rounded. There is no edit list and no wall clock in the bytes.
"""

from sluice_media.formats.cmaf.codec_string import codec_string
from sluice_media.formats.cmaf.fragment import Sample, fragment
from sluice_media.formats.cmaf.init import init_segment
from sluice_media.formats.cmaf.reader import ForeignFragment, Fragment, read_fragments

__all__ = [
    "ForeignFragment",
    "Fragment",
    "Sample",
    "codec_string",
    "fragment",
    "init_segment",
    "read_fragments",
]
