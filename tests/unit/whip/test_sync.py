"""RTP timestamps are mapped to one clock for sound and pictures."""

from __future__ import annotations

from sluice_media.formats.units import TICKS_PER_SECOND, TrackKind
from sluice_media.whip.sync import MediaClock

AUDIO, VIDEO = TrackKind.AUDIO, TrackKind.VIDEO
NTP_SECOND = 1 << 32


def test_time_is_arrival_at_first_and_rtp_from_then_on() -> None:
    clock = MediaClock()
    first = clock.time_of(VIDEO, 1_000, arrived=5.0)
    late = clock.time_of(VIDEO, 1_000 + 3_000, arrived=5.4)
    assert late - first == 3_000


def test_sound_that_arrives_with_a_picture_has_its_time() -> None:
    clock = MediaClock()
    picture = clock.time_of(VIDEO, 7, arrived=5.0)
    sound = clock.time_of(AUDIO, 4_000_000_000, arrived=5.0)
    assert sound == picture


def test_times_continue_over_the_wrap_of_32_bits() -> None:
    clock = MediaClock()
    before = clock.time_of(VIDEO, (1 << 32) - 1_500, arrived=5.0)
    after = clock.time_of(VIDEO, 1_500, arrived=5.033)
    assert after - before == 3_000


def test_packets_out_of_order_keep_their_times() -> None:
    clock = MediaClock()
    second = clock.time_of(AUDIO, 960, arrived=5.0)
    first = clock.time_of(AUDIO, 0, arrived=5.001)
    third = clock.time_of(AUDIO, 1_920, arrived=5.002)
    assert (second - first, third - second) == (1_800, 1_800)


def test_sender_reports_move_the_sound_to_its_pictures() -> None:
    clock = MediaClock()
    picture = clock.time_of(VIDEO, 0, arrived=5.0)
    clock.time_of(AUDIO, 0, arrived=5.3)  # 300 ms late, though captured at the same moment
    clock.report(VIDEO, 100 * NTP_SECOND, 0)
    clock.report(AUDIO, 100 * NTP_SECOND, 0)
    assert clock.time_of(AUDIO, 0, arrived=5.3) == picture
    assert clock.time_of(VIDEO, 3_000, arrived=5.033) == picture + 3_000


def test_sender_reports_that_contradict_arrival_are_ignored() -> None:
    clock = MediaClock()
    clock.time_of(VIDEO, 0, arrived=5.0)
    sound = clock.time_of(AUDIO, 0, arrived=5.0)
    clock.report(VIDEO, 100 * NTP_SECOND, 0)
    clock.report(AUDIO, 160 * NTP_SECOND, 0)
    assert clock.time_of(AUDIO, 0, arrived=5.0) == sound


def test_reports_without_a_clock_and_before_media_are_ignored() -> None:
    clock = MediaClock()
    clock.report(VIDEO, 100 * NTP_SECOND, 0)
    clock.time_of(VIDEO, 0, arrived=5.0)
    sound = clock.time_of(AUDIO, 0, arrived=5.2)
    clock.report(VIDEO, 0, 0)
    clock.report(AUDIO, 100 * NTP_SECOND, 0)
    assert clock.time_of(AUDIO, 0, arrived=5.2) == sound


def test_an_rtp_clock_that_was_reset_is_tied_to_arrival_again() -> None:
    clock = MediaClock()
    first = clock.time_of(VIDEO, 0, arrived=5.0)
    jumped = clock.time_of(VIDEO, 2_000_000_000, arrived=6.0)
    assert abs(jumped - first - TICKS_PER_SECOND) <= 1
