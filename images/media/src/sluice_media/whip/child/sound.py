"""Sound: Opus packets in, AAC at 48 kHz in stereo without holes out."""

from __future__ import annotations

from fractions import Fraction

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.codec.context import Flags
from av.filter import Graph

from sluice_media.whip.child.options import TranscodeOptions

SAMPLE_RATE = 48_000
_TIME_BASE = Fraction(1, SAMPLE_RATE)
_SAMPLES_PER_UNIT = 1_024
_SILENCE_SAMPLES = 960
_MAX_PACKET_BYTES = 8 << 10
"""Maximum size of an Opus packet: six frames of at most 1275 bytes."""
_FILTERS = (
    # Fill holes and cut overlaps of more than 100 ms. Stretch smaller ones, which is inaudible.
    ("aresample", "async=1000:min_hard_comp=0.1:first_pts=0"),
    ("aformat", "sample_fmts=fltp:sample_rates=48000:channel_layouts=stereo"),
    ("asetnsamples", f"n={_SAMPLES_PER_UNIT}:p=0"),
)


class Sound:
    """A transcoder of sound. All times are in samples since the session's first picture."""

    def __init__(self, options: TranscodeOptions) -> None:
        decoder = av.CodecContext.create("libopus", "r")
        encoder = av.CodecContext.create("aac", "w")
        assert isinstance(decoder, AudioCodecContext)
        assert isinstance(encoder, AudioCodecContext)
        decoder.sample_rate, decoder.layout, decoder.format = SAMPLE_RATE, "stereo", "s16"
        encoder.sample_rate, encoder.layout, encoder.format = SAMPLE_RATE, "stereo", "fltp"
        encoder.time_base = _TIME_BASE
        encoder.bit_rate = options.audio_bitrate_kbps * 1_000
        encoder.flags |= Flags.global_header
        encoder.open()
        self._decoder, self._encoder = decoder, encoder
        self._graph = _graph()
        self.config = bytes(encoder.extradata or b"")[:2]
        """AudioSpecificConfig."""
        self.until = 0
        """End of the sound that was taken."""

    def take(self, packet: bytes, at: int) -> list[tuple[int, bytes]]:
        """Take an Opus packet and return (time, raw AAC frame) for each frame that is ready.

        A packet that is not valid Opus is dropped.
        """
        if len(packet) > _MAX_PACKET_BYTES:
            return []
        try:
            frames = self._decoder.decode(av.Packet(packet))
        except av.FFmpegError:
            return []
        units: list[tuple[int, bytes]] = []
        for frame in frames:
            if at + frame.samples > 0:
                units += self._push(frame, at)
            at += frame.samples
        return units

    def fill(self, until: int) -> list[tuple[int, bytes]]:
        """Add silence up to a time and return the frames as :meth:`take` does."""
        units: list[tuple[int, bytes]] = []
        while self.until + _SILENCE_SAMPLES <= until:
            frame = AudioFrame(format="s16", layout="stereo", samples=_SILENCE_SAMPLES)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.sample_rate = SAMPLE_RATE
            units += self._push(frame, self.until)
        return units

    def _push(self, frame: AudioFrame, at: int) -> list[tuple[int, bytes]]:
        frame.pts, frame.time_base = at, _TIME_BASE
        self.until = max(self.until, at + frame.samples)
        self._graph.push(frame)
        units: list[tuple[int, bytes]] = []
        while True:
            try:
                steady = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return units
            assert isinstance(steady, AudioFrame)
            units += [(packet.pts or 0, bytes(packet)) for packet in self._encoder.encode(steady)]


def _graph() -> Graph:
    graph = Graph()
    source = graph.add_abuffer(
        sample_rate=SAMPLE_RATE, format="s16", layout="stereo", time_base=_TIME_BASE
    )
    steps = [graph.add(name, arguments) for name, arguments in _FILTERS]
    graph.link_nodes(source, *steps, graph.add("abuffersink")).configure()
    return graph
