"""Transport streams in, formats and units out: what comes back of what the multiplexer wrote, and
what is left of streams that are damaged, cut or no streams at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_media.flv import DemuxEvent, Metadata
from sluice_media.mpegts import TsMuxer
from sluice_media.mpegts.crc import crc32_mpeg2
from sluice_media.mpegts.demux import TsDemuxer
from sluice_media.mpegts.errors import TsError, UnsupportedCodec
from sluice_media.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags
from tests.unit.flv import samples as s

VIDEO = TrackFormat(0, TrackKind.VIDEO, Codec.H264, s.AVCC, 640, 360)
VIDEO_1080 = TrackFormat(0, TrackKind.VIDEO, Codec.H264, s.AVCC_1080, 1920, 1080)
HEVC = TrackFormat(0, TrackKind.VIDEO, Codec.HEVC, s.hvcc(), 640, 362)
AUDIO = TrackFormat(1, TrackKind.AUDIO, Codec.AAC, s.ASC_48000_STEREO, 0, 0, 48_000, 2)
AUDIO_44100 = TrackFormat(1, TrackKind.AUDIO, Codec.AAC, s.ASC_44100_STEREO, 0, 0, 44_100, 2)
# NAL units that end as NAL units do, not in zeros.
IDR = s.sample(b"\x65\x88\x84" + b"\x5a" * 40)
PICTURE = s.sample(b"\x41\x9a\x24" + b"\x5a" * 20)
KEY, CUT = UnitFlags.RANDOM_ACCESS, UnitFlags.DISCONTINUITY
WRAP = 1 << 33
FRAME = 3_600


def picture(dts: int, payload: bytes = PICTURE, *, key: bool = False, ahead: int = 0) -> AccessUnit:
    payload = IDR if key and payload is PICTURE else payload
    return AccessUnit(0, dts, dts + ahead, KEY if key else UnitFlags.NONE, 0, payload)


def sound(dts: int, payload: bytes = s.SOUND, track: int = 1) -> AccessUnit:
    return AccessUnit(track, dts, dts, UnitFlags.NONE, 0, payload)


def broadcast(pictures: int = 50, first: int = 900_000) -> list[AccessUnit]:
    """Pictures at 25 fps, one key picture a second, and 48 kHz audio."""
    units = [picture(first + i * FRAME, key=i % 25 == 0) for i in range(pictures)]
    units += [sound(first + i * 1_920) for i in range(pictures * FRAME // 1_920)]
    return sorted(units, key=lambda unit: unit.dts)


def mux(units: Iterable[AccessUnit], *formats: TrackFormat) -> bytes:
    return b"".join(map(TsMuxer(formats or (VIDEO, AUDIO)).write, units))


def read(
    stream: bytes, sizes: Sequence[int] = (), demuxer: TsDemuxer | None = None
) -> list[DemuxEvent]:
    """Feeds pieces of the given sizes, then the rest, then the end."""
    demuxer = demuxer or TsDemuxer()
    events: list[DemuxEvent] = []
    for size in sizes:
        events += demuxer.feed(stream[:size])
        stream = stream[size:]
    return [*events, *demuxer.feed(stream), *demuxer.flush()]


def units_of(events: Iterable[DemuxEvent], track: int | None = None) -> list[AccessUnit]:
    return [e for e in events if isinstance(e, AccessUnit) and track in (None, e.track)]


def formats_of(events: Iterable[DemuxEvent]) -> list[TrackFormat]:
    return [e for e in events if isinstance(e, TrackFormat)]


def by_track(units: Iterable[AccessUnit]) -> dict[int, list[AccessUnit]]:
    found: dict[int, list[AccessUnit]] = {}
    for unit in units:
        found.setdefault(unit.track, []).append(unit)
    return found


def split(stream: bytes) -> list[bytes]:
    return [stream[at : at + 188] for at in range(0, len(stream), 188)]


def pid_of(packet: bytes) -> int:
    return int.from_bytes(packet[1:3], "big") & 0x1FFF


def section_packet(pid: int, section: bytes, counter: int = 0) -> bytes:
    section += crc32_mpeg2(section).to_bytes(4, "big")
    head = b"\x47" + (0x4000 | pid).to_bytes(2, "big") + bytes((0x10 | counter, 0))
    return (head + section).ljust(188, b"\xff")


def program(*streams: tuple[int, int, bytes], pmt_pid: int = 0x1000) -> bytes:
    """PAT and PMT with streams of (type, PID, descriptors)."""
    body = b"".join(
        bytes((kind,))
        + (0xE000 | pid).to_bytes(2, "big")
        + (0xF000 | len(described)).to_bytes(2, "big")
        + described
        for kind, pid, described in streams
    )
    pat = b"\x00\xb0\x0d\x00\x01\xc1\x00\x00\x00\x01" + (0xE000 | pmt_pid).to_bytes(2, "big")
    length = (0xB000 | 9 + len(body) + 4).to_bytes(2, "big")
    pmt = b"\x02" + length + b"\x00\x01\xc1\x00\x00\xe1\x00\xf0\x00" + body
    return section_packet(0, pat) + section_packet(pmt_pid, pmt)


# ---------------------------------------------------------------- what was multiplexed comes back


def test_a_broadcast_comes_back_unit_by_unit() -> None:
    demuxer = TsDemuxer()
    events = read(mux(broadcast()), demuxer=demuxer)
    assert events[0] == Metadata(declares_video=True, declares_audio=True)
    assert formats_of(events) == [VIDEO, AUDIO]
    assert demuxer.formats == (VIDEO, AUDIO)
    assert by_track(units_of(events)) == by_track(broadcast())
    assert (demuxer.dropped_units, demuxer.continuity_errors, demuxer.sync_losses) == (0, 0, 0)


def test_hevc_comes_back() -> None:
    units = [picture(i * FRAME, s.HEVC_PICTURE if i else s.HEVC_IDR, key=not i) for i in range(9)]
    events = read(mux(units, HEVC, AUDIO))
    [found] = formats_of(events)
    assert (found.codec, found.width, found.height) == (Codec.HEVC, 640, 362)
    assert units_of(events) == units
    # What the record says is read back as the parameter sets that it came from.
    assert formats_of(read(mux(units, found))) == [found]


def test_44100_hz_steps_by_samples() -> None:
    times = [900_000 + i * 1_024 * 90_000 // 44_100 for i in range(100)]
    events = read(mux([sound(dts) for dts in times], AUDIO_44100))
    assert [unit.dts for unit in units_of(events)] == times
    rounded = [dts // 90 * 90 for dts in times]  # as after a way through FLV
    events = read(mux([sound(dts) for dts in rounded], AUDIO_44100))
    assert max(abs(u.dts - t) for u, t in zip(units_of(events), times, strict=True)) <= 90
    steps = {b.dts - a.dts for a, b in zip(units_of(events), units_of(events)[1:], strict=False)}
    assert steps <= {2_089, 2_090}


def test_two_audio_tracks_keep_their_numbers() -> None:
    second = replace(AUDIO_44100, track=2)
    events = read(mux([sound(0), sound(0, track=2)], AUDIO, second))
    assert formats_of(events) == [AUDIO, second]
    assert [unit.track for unit in units_of(events)] == [1, 2]


def test_times_go_on_across_the_wrap() -> None:
    first = WRAP - 10 * FRAME
    events = read(mux(broadcast(50, first)))
    assert by_track(units_of(events)) == by_track(broadcast(50, first))


def test_a_picture_that_is_shown_after_the_wrap_and_decoded_before_it() -> None:
    unit = picture(WRAP - FRAME, key=True, ahead=2 * FRAME)
    assert units_of(read(mux([unit]))) == [unit]


_SHAPES = st.lists(
    st.tuples(
        st.booleans(),
        st.lists(st.integers(1, 3_000), min_size=1, max_size=3),
        st.booleans(),
        st.booleans(),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=30,
)


def shaped(shape: list[tuple[bool, list[int], bool, bool, int]], first: int) -> list[AccessUnit]:
    units: list[AccessUnit] = []
    frames = 0
    for index, (is_video, sizes, key, cut, ahead) in enumerate(shape):
        flags = CUT if cut else UnitFlags.NONE
        if is_video:
            key = key or not any(unit.track == 0 for unit in units)
            kind = 0x65 if key else 0x41
            nals = [bytes((kind, *((index + n) % 250 + 4 for n in range(size)))) for size in sizes]
            dts = first + index * FRAME
            pts = dts + ahead * FRAME
            flags |= KEY if key else UnitFlags.NONE
            units.append(AccessUnit(0, dts, pts, flags, 0, s.sample(*nals)))
        else:
            frames += 1
            dts = first + frames * 1_920
            payload = bytes((0x21, *((index + n) % 256 for n in range(sizes[0]))))
            units.append(AccessUnit(1, dts, dts, flags, 0, payload))
    return units


@settings(max_examples=60, deadline=None)
@given(_SHAPES, st.sampled_from((0, 900_000, WRAP - 5 * FRAME)), st.data())
def test_any_units_come_back_identical_however_the_bytes_are_cut(
    shape: list[tuple[bool, list[int], bool, bool, int]], first: int, data: st.DataObject
) -> None:
    units = shaped(shape, first)
    stream = mux(units)
    whole = read(stream)
    assert by_track(units_of(whole)) == by_track(units)
    sizes = data.draw(st.lists(st.integers(0, len(stream) // 2), max_size=8))
    assert read(stream, sizes) == whole


# ---------------------------------------------------------------- when a unit is complete


def test_audio_and_small_pictures_do_not_wait_for_their_successor() -> None:
    muxer = TsMuxer((VIDEO, AUDIO))
    demuxer = TsDemuxer()
    assert not list(demuxer.feed(muxer.write(picture(0, key=True))[:376]))  # two packets: no lock
    demuxer = TsDemuxer()
    muxer = TsMuxer((VIDEO, AUDIO))
    assert units_of(demuxer.feed(muxer.write(picture(0, key=True)), 5)) == [
        replace(picture(0, key=True), utc_us=5)
    ]
    assert len(units_of(demuxer.feed(muxer.write(sound(0))))) == 1
    assert len(units_of(demuxer.feed(muxer.write(picture(FRAME))))) == 1


def test_a_picture_of_open_length_waits_for_the_next_start_or_the_end() -> None:
    large = picture(0, s.sample(b"\x65" + b"\x77" * 100_000), key=True)
    muxer = TsMuxer((VIDEO,))
    demuxer = TsDemuxer()
    assert not units_of(demuxer.feed(muxer.write(large), 5))
    assert units_of(demuxer.feed(muxer.write(replace(large, dts=FRAME, pts=FRAME)), 6)) == [
        replace(large, utc_us=5)  # when its own last byte came
    ]
    assert [unit.dts for unit in units_of(demuxer.flush())] == [FRAME]


# ---------------------------------------------------------------- foreign multiplexers


def ts_of_pes(pid: int, *pes: bytes) -> bytes:
    """PES packets as they are, in packets of a multiplexer that sets nothing but what it must."""
    from sluice_media.mpegts.packets import Packetizer

    packetizer = Packetizer(pid)
    return b"".join(b"".join(packetizer.packets(packet)) for packet in pes)


def pes(payload: bytes, pts: int | None, *, stream_id: int = 0xE0, bounded: bool = False) -> bytes:
    from sluice_media.mpegts.pes import pes_header

    if pts is None:
        size = 3 + len(payload) if bounded else 0
        head = b"\x00\x00\x01" + bytes((stream_id,)) + size.to_bytes(2, "big") + b"\x80\x00\x00"
        return head + payload
    head = pes_header(stream_id, pts, pts, len(payload))
    return (head if bounded else head[:4] + b"\x00\x00" + head[6:]) + payload


SPS, PPS = s.AVCC[8 : 8 + 26], s.AVCC[37 : 37 + 6]
H264_ONLY = program((0x1B, 0x100, b""))
AAC_ONLY = program((0x0F, 0x101, b""))


def annexb(*nals: bytes) -> bytes:
    return b"".join(b"\x00\x00\x01" + nal for nal in nals)


def adts(payload: bytes, *, crc: bool = False) -> bytes:
    from sluice_media.codecs import aac

    extra = 2 if crc else 0
    head = aac.adts_header(aac.parse_asc(s.ASC_48000_STEREO), len(payload) + extra)
    return (head[:1] + b"\xf0" + head[2:] + b"\xab\xcd" if crc else head) + payload


def test_random_access_is_read_from_the_bitstream() -> None:
    recovery = bytes.fromhex("060601c480")
    stream = H264_ONLY + ts_of_pes(
        0x100,
        pes(annexb(SPS, PPS, b"\x65\x88"), 0),
        pes(annexb(b"\x41\x9a"), FRAME),
        pes(annexb(recovery, b"\x41\x9a"), 2 * FRAME),
    )
    assert [unit.flags for unit in units_of(read(stream))] == [KEY, UnitFlags.NONE, KEY]


def test_start_codes_of_both_lengths_padding_delimiters_and_filler() -> None:
    payload = b"\x00\x00\x00\x01\x09\xf0" + b"\x00\x00\x00\x01" + SPS + b"\x00\x00\x01" + PPS
    payload += b"\x00\x00\x00\x00\x00\x01\x0c\xff\xff\x80" + b"\x00\x00\x01\x65\x88\x80\x00\x00\x00"
    [unit] = units_of(read(H264_ONLY + ts_of_pes(0x100, pes(payload, 0))))
    assert unit.payload == s.sample(b"\x65\x88\x80")


def test_units_before_the_parameter_sets_are_left_out() -> None:
    demuxer = TsDemuxer()
    stream = H264_ONLY + ts_of_pes(
        0x100, pes(annexb(b"\x41\x9a"), 0), pes(annexb(SPS, PPS, b"\x65\x88"), FRAME)
    )
    [unit] = units_of(read(stream, demuxer=demuxer))
    assert (unit.dts, unit.flags) == (FRAME, KEY)
    assert demuxer.dropped_units == 1


def test_a_picture_without_a_time_is_left_out_and_its_successor_flagged() -> None:
    stream = H264_ONLY + ts_of_pes(
        0x100,
        pes(annexb(SPS, PPS, b"\x65\x88"), 0),
        pes(annexb(b"\x41\x9a"), None),
        pes(annexb(b"\x41\x9a"), 2 * FRAME),
    )
    assert [(u.dts, u.flags) for u in units_of(read(stream))] == [(0, KEY), (2 * FRAME, CUT)]


def test_another_size_in_the_middle_is_a_new_format_and_a_repetition_is_none() -> None:
    sps_1080, pps_1080 = s.AVCC_1080[8 : 8 + 25], s.AVCC_1080[36 : 36 + 6]
    stream = H264_ONLY + ts_of_pes(
        0x100,
        pes(annexb(SPS, PPS, b"\x65\x88"), 0),
        pes(annexb(SPS, PPS, b"\x65\x88"), FRAME),
        pes(annexb(sps_1080, pps_1080, b"\x65\x88"), 2 * FRAME),
    )
    kinds = [(type(e).__name__, getattr(e, "width", 0)) for e in read(stream)[1:]]
    assert kinds == [
        ("TrackFormat", 640), ("AccessUnit", 0), ("AccessUnit", 0),
        ("TrackFormat", 1920), ("AccessUnit", 0),
    ]  # fmt: skip


def test_a_picture_parameter_set_that_comes_later_is_added_once() -> None:
    second_pps = bytes.fromhex("685a6e2c22c0")  # the same with the id 1
    group = [annexb(SPS, PPS, b"\x65\x88"), annexb(second_pps, b"\x41\x9a")]
    stream = H264_ONLY + ts_of_pes(
        0x100, *(pes(payload, i * FRAME) for i, payload in enumerate(group * 3))
    )
    first, second = formats_of(read(stream))
    assert len(second.config) == len(first.config) + 2 + len(second_pps)


def test_several_audio_frames_in_one_packet_get_times_of_their_own() -> None:
    frames = [bytes((0x21, n)) * 40 for n in range(6)]
    joined = [b"".join(map(adts, frames[:3])), b"".join(map(adts, frames[3:]))]
    stream = AAC_ONLY + ts_of_pes(
        0x101,
        pes(joined[0], 900_000, stream_id=0xC0, bounded=True),
        pes(joined[1], 900_000 + 3 * 1_920, stream_id=0xC0, bounded=True),
    )
    units = units_of(read(stream))
    assert [unit.dts for unit in units] == [900_000 + i * 1_920 for i in range(6)]
    assert [unit.payload for unit in units] == frames


def test_audio_frames_that_go_on_in_the_next_packet() -> None:
    frames = [bytes((0x21, n)) * 100 for n in range(8)]
    raw = b"".join(map(adts, frames))
    # Packets of 300 bytes. The time is that of the first frame that begins in the packet.
    starts = {at: -(-at // 207) for at in range(0, len(raw), 300)}
    packets = [
        pes(raw[at : at + 300], 1_920 * frame, stream_id=0xC0, bounded=True)
        for at, frame in starts.items()
    ]
    units = units_of(read(AAC_ONLY + ts_of_pes(0x101, *packets)))
    assert [(unit.dts, unit.payload) for unit in units] == [
        (i * 1_920, frame) for i, frame in enumerate(frames)
    ]


def test_a_checksum_in_the_audio_header_is_taken_off() -> None:
    stream = AAC_ONLY + ts_of_pes(0x101, pes(adts(s.SOUND, crc=True), 0, stream_id=0xC0))
    assert [unit.payload for unit in units_of(read(stream))] == [s.SOUND]


def test_garbage_between_audio_frames_is_passed_over_and_flagged() -> None:
    raw = adts(s.SOUND) + b"\xff\xf1garbage" + adts(s.SOUND) + adts(s.SOUND)
    demuxer = TsDemuxer()
    stream = AAC_ONLY + ts_of_pes(
        0x101, pes(raw, 0, stream_id=0xC0), pes(adts(s.SOUND) * 2, 90_000, stream_id=0xC0)
    )
    units = units_of(read(stream, demuxer=demuxer))
    assert [(u.dts, u.flags) for u in units] == [
        (0, UnitFlags.NONE), (90_000, CUT), (91_920, UnitFlags.NONE),
    ]  # fmt: skip
    assert demuxer.dropped_units


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize(
    ("streams", "words"),
    [
        ([(0x02, 0x100, b"")], "MPEG-2 video"),
        ([(0x02, 0x100, b""), (0x81, 0x101, b"")], "MPEG-2 video, AC-3"),
        ([(0x06, 0x100, b"\x05\x04Opus")], "Opus"),
        ([(0x06, 0x100, b"\x0a\x04deu\x00\x6a\x01\x00")], "AC-3"),
        ([(0x06, 0x100, b"\x05\x04AV01")], "AV1"),
    ],
)
def test_a_program_with_nothing_we_carry_is_refused_by_name(
    streams: list[tuple[int, int, bytes]], words: str
) -> None:
    with pytest.raises(UnsupportedCodec, match=f"The stream is {words};"):
        read(program(*streams) + mux(broadcast(5)))


def test_what_we_do_not_carry_is_left_out_beside_what_we_do() -> None:
    tables = program((0x86, 0x50, b""), (0x1B, 0x100, b""), (0x81, 0x200, b""), (0x06, 0x201, b""))
    events = read(tables + ts_of_pes(0x100, pes(annexb(SPS, PPS, b"\x65\x88"), 0)))
    assert events[0] == Metadata(declares_video=True)
    assert len(units_of(events)) == 1


def test_a_program_of_data_only_is_no_error() -> None:
    assert read(program((0x86, 0x50, b""), (0x06, 0x51, b"")) * 3) == [Metadata()]


def test_null_packets_and_unknown_pids_are_ignored() -> None:
    noise = b"\x47\x1f\xff\x10" + bytes(184) + b"\x47\x01\x77\x1a" + bytes(184)
    stream = b"".join(noise + packet for packet in split(mux(broadcast())))
    assert by_track(units_of(read(stream))) == by_track(broadcast())


def test_hevc_named_by_a_registration_only() -> None:
    units = [picture(0, s.HEVC_IDR, key=True)]
    stream = program((0x06, 0x100, b"\x05\x04HEVC")) + b"".join(
        packet for packet in split(mux(units, HEVC)) if pid_of(packet) == 0x100
    )
    assert units_of(read(stream)) == units


def test_new_pids_in_a_new_table_carry_the_same_tracks_on() -> None:
    first = H264_ONLY + ts_of_pes(0x100, pes(annexb(SPS, PPS, b"\x65\x88"), 0))
    tables = program((0x0F, 0x201, b""), (0x1B, 0x200, b""))
    second = tables + ts_of_pes(0x200, pes(annexb(SPS, PPS, b"\x65\x88"), FRAME))
    demuxer = TsDemuxer()
    events = read(first + second, demuxer=demuxer)
    assert [type(e) for e in events] == [Metadata, TrackFormat, AccessUnit, Metadata, AccessUnit]
    assert events[3] == Metadata(declares_video=True, declares_audio=True)
    assert [unit.flags for unit in units_of(events)] == [KEY, KEY | CUT]
    assert demuxer.formats == (VIDEO,)


def test_a_track_that_goes_is_no_format_any_more() -> None:
    demuxer = TsDemuxer()
    read(mux(broadcast(5)) + AAC_ONLY + mux([sound(0)], AUDIO), demuxer=demuxer)
    assert demuxer.formats == (AUDIO,)


def test_a_table_across_packets_and_one_with_a_broken_checksum() -> None:
    described = b"\x05\x04HDMV" + b"\x80\xc8" + bytes(200)
    length = 9 + 5 + len(described) + 4
    section = b"\x02" + (0xB000 | length).to_bytes(2, "big") + b"\x00\x01\xc1\x00\x00\xe1\x00"
    section += b"\xf0\x00\x1b\xe1\x00" + (0xF000 | len(described)).to_bytes(2, "big") + described
    section += crc32_mpeg2(section).to_bytes(4, "big")
    pat = H264_ONLY[:188]
    first = b"\x47\x50\x00\x10\x00" + section[:183]
    rest = (b"\x47\x10\x00\x11" + section[183:]).ljust(188, b"\xff")
    media = ts_of_pes(0x100, pes(annexb(SPS, PPS, b"\x65\x88"), 0))
    assert len(units_of(read(pat + first + first + rest + media))) == 1
    broken = rest[:20] + b"\x55" + rest[21:]
    assert not units_of(read(pat + first + broken + media))


# ---------------------------------------------------------------- damage


def test_a_lost_packet_costs_its_unit_and_flags_the_next() -> None:
    packets = split(mux([picture(i * FRAME, key=not i) for i in range(5)], VIDEO))
    demuxer = TsDemuxer()
    starts = [i for i, packet in enumerate(packets) if pid_of(packet) == 0x100]
    del packets[starts[2]]
    events = read(b"".join(packets), demuxer=demuxer)
    assert [(u.dts // FRAME, u.flags) for u in units_of(events)] == [
        (0, KEY), (1, UnitFlags.NONE), (3, CUT), (4, UnitFlags.NONE),
    ]  # fmt: skip
    assert demuxer.continuity_errors == 1


def test_a_lost_packet_in_the_middle_of_a_picture() -> None:
    large = s.sample(b"\x41" + b"\x77" * 2_000)
    units = [picture(0, key=True), *(picture(i * FRAME, large) for i in range(1, 4))]
    packets = split(mux(units, VIDEO))
    second = [i for i, packet in enumerate(packets) if packet[1] == 0x41][1]
    del packets[second + 3]
    demuxer = TsDemuxer()
    found = units_of(read(b"".join(packets), demuxer=demuxer))
    assert [(u.dts // FRAME, u.flags) for u in found] == [
        (0, KEY), (2, CUT), (3, UnitFlags.NONE),
    ]  # fmt: skip
    assert (demuxer.continuity_errors, demuxer.dropped_units) == (1, 1)


def test_a_packet_sent_twice_is_taken_once() -> None:
    demuxer = TsDemuxer()
    stream = b"".join(packet * 2 for packet in split(mux(broadcast())))
    assert by_track(units_of(read(stream, demuxer=demuxer))) == by_track(broadcast())
    assert demuxer.continuity_errors == 0


def test_a_packet_marked_as_damaged_is_not_used() -> None:
    packets = split(mux([picture(i * FRAME, key=not i) for i in range(4)], VIDEO))
    index = [i for i, packet in enumerate(packets) if pid_of(packet) == 0x100][2]
    packets[index] = packets[index][:1] + bytes((packets[index][1] | 0x80,)) + packets[index][2:]
    demuxer = TsDemuxer()
    found = units_of(read(b"".join(packets), demuxer=demuxer))
    assert [(u.dts // FRAME, u.flags) for u in found] == [(0, KEY), (1, UnitFlags.NONE), (3, CUT)]
    assert (demuxer.transport_errors, demuxer.continuity_errors) == (1, 1)


@pytest.mark.parametrize("junk", [b"\x47", b"x", b"\x47" * 500, bytes(1_000), b"\x47\x00" * 300])
def test_it_finds_back_into_the_stream_after_junk(junk: bytes) -> None:
    units = broadcast()
    first, second = units[:40], units[40:]
    muxer = TsMuxer((VIDEO, AUDIO))
    stream = b"".join(map(muxer.write, first)) + junk + b"".join(map(muxer.write, second))
    demuxer = TsDemuxer()
    found = units_of(read(stream, demuxer=demuxer))
    assert demuxer.sync_losses
    assert len(found) >= len(units) - 4
    assert found[-1] == units[-1]
    assert {unit.payload for unit in found} == {IDR, PICTURE, s.SOUND}


def test_what_is_no_transport_stream_is_said_to_be_none() -> None:
    demuxer = TsDemuxer()
    lines = b"HTTP/1.1 400 Bad Request\r\n" * 40
    for _ in range(1_000):
        assert not list(demuxer.feed(lines))
    with pytest.raises(TsError, match="no MPEG transport stream"):
        list(demuxer.feed(lines * 20))


def test_a_unit_without_end_is_given_up_and_memory_stays_bounded() -> None:
    demuxer = TsDemuxer()
    stream = H264_ONLY + ts_of_pes(0x100, pes(annexb(SPS, PPS, b"\x65\x88"), 0))
    list(demuxer.feed(stream))
    endless = [b"\x47\x41\x00\x11\x00\x00\x01\xe0\x00\x00\x80\x80\x05" + bytes(175)]
    endless += [b"\x47\x01\x00" + bytes((0x10 | i & 0xF,)) + bytes(184) for i in range(2, 16 + 2)]
    round_of_16 = b"".join(endless[1:])
    list(demuxer.feed(endless[0]))
    for _ in range((16 << 20) // (16 * 184) + 2):
        list(demuxer.feed(round_of_16))
    assert demuxer.dropped_units == 1
    assert sum(len(stream.packet) for stream in demuxer._streams.values()) <= 17 << 20


def test_a_picture_of_start_codes_only_is_dropped() -> None:
    demuxer = TsDemuxer()
    flood = pes(annexb(SPS, PPS) + b"\x00\x00\x01\x65" * 10_000, 0)
    assert not units_of(read(H264_ONLY + ts_of_pes(0x100, flood), demuxer=demuxer))
    assert demuxer.dropped_units == 1


_STREAM = mux(broadcast(12)) + mux(
    [picture(i * FRAME, s.HEVC_PICTURE if i else s.HEVC_IDR, key=not i) for i in range(4)], HEVC
)


def _events_until_error(stream: bytes, sizes: Sequence[int]) -> list[object]:
    demuxer = TsDemuxer()
    events: list[object] = []
    try:
        for size in [*sizes, len(stream)]:
            events.extend(demuxer.feed(stream[:size]))
            stream = stream[size:]
        events.extend(demuxer.flush())
    except TsError as error:
        events.append(str(error))
    return [*events, demuxer.formats, demuxer.dropped_units, demuxer.continuity_errors]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(_STREAM)),
            st.integers(0, 200),
            st.binary(max_size=8) | st.just(b"\x47") | st.just(_STREAM[:564]),
        ),
        max_size=12,
    ),
    st.lists(st.integers(0, 3_000), max_size=12),
)
def test_a_damaged_stream_gives_the_same_events_however_it_is_cut(
    edits: list[tuple[int, int, bytes]], sizes: list[int]
) -> None:
    stream = _STREAM
    for at, removed, inserted in edits:
        stream = stream[:at] + inserted + stream[at + removed :]
    assert _events_until_error(stream, sizes) == _events_until_error(stream, ())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(min_size=187, max_size=187), max_size=20), st.binary(max_size=400))
def test_any_bytes_raise_nothing_but_our_errors(bodies: list[bytes], tail: bytes) -> None:
    stream = b"".join(b"\x47" + body for body in bodies) + tail
    _events_until_error(stream, ())
    # And the same on the PIDs that are read.
    known = b"".join(
        b"\x47" + bytes((body[0] & 0x40 | 1, body[1] & 1)) + body[2:] for body in bodies
    )
    _events_until_error(_STREAM + known + tail, ())


def test_an_iterator_that_is_left_is_finished_by_the_next() -> None:
    stream = mux(broadcast())
    demuxer = TsDemuxer()
    first = demuxer.feed(stream[:5_000])
    events = [next(first), next(first)]
    events += demuxer.feed(stream[5_000:])
    events += demuxer.flush()
    assert events == read(stream)
