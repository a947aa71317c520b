"""What the multiplexer wrote comes back, unit by unit, as soon as it is complete."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats.events import Metadata
from sluice_media.formats.mpegts import TsMuxer
from sluice_media.formats.mpegts.demux import TsDemuxer
from sluice_media.formats.units import AccessUnit, Codec, UnitFlags
from tests.support import flv_samples as s
from tests.support.ts_samples import (
    AUDIO,
    AUDIO_44100,
    CUT,
    FRAME,
    HEVC,
    KEY,
    VIDEO,
    WRAP,
    broadcast,
    by_track,
    formats_of,
    mux,
    picture,
    read,
    sound,
    units_of,
)


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
