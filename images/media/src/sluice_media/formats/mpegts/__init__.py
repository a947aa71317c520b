"""MPEG-2 transport streams (ISO/IEC 13818-1): access units in, TS packets out."""

from sluice_media.formats.mpegts.mux import TsMuxer

__all__ = ["TsMuxer"]
