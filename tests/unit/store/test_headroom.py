"""How full a store is, and when it will be full."""

from __future__ import annotations

import pytest

from sluice_media.store.headroom import DiskSpace, FolderSizes, folder_of, measure

GB = 1 << 30


def sizes(used: int) -> FolderSizes:
    book = FolderSizes()
    book.replace({"recordings/a": used})
    return book


@pytest.mark.parametrize(
    ("used", "limit", "volume", "want_word", "want_limit", "want_room"),
    [
        (5 * GB, None, None, "Enough", None, None),
        (5 * GB, 10 * GB, None, "Enough", 10 * GB, 5 * GB),
        (9 * GB, 10 * GB, None, "AlmostExceeded", 10 * GB, GB),
        (10 * GB, 10 * GB, None, "Exceeded", 10 * GB, 0),
        (11 * GB, 10 * GB, None, "Exceeded", 10 * GB, 0),
        (5 * GB, 100 * GB, DiskSpace(20 * GB, 10 * GB), "Enough", 20 * GB, 10 * GB - (64 << 20)),
        (5 * GB, 6 * GB, DiskSpace(20 * GB, 10 * GB), "Enough", 6 * GB, GB),
        (5 * GB, None, DiskSpace(20 * GB, 60 << 20), "Exceeded", 20 * GB, 0),
        (5 * GB, None, DiskSpace(20 * GB, GB), "AlmostExceeded", 20 * GB, GB - (64 << 20)),
        (0, 0, None, "Exceeded", 0, 0),
    ],
)
def test_the_limit_or_the_volume_counts_whichever_ends_first(
    used: int,
    limit: int | None,
    volume: DiskSpace | None,
    want_word: str,
    want_limit: int | None,
    want_room: int | None,
) -> None:
    found = measure(sizes(used), limit_bytes=limit, volume=volume, warn_at_percent=90)
    assert (found.word, found.limit_bytes, found.room_bytes) == (want_word, want_limit, want_room)


def test_time_to_full_comes_from_what_recorders_add() -> None:
    book = sizes(0)
    book.sample(0)
    for second in range(30, 330, 30):
        book.update("recordings/b", second * 1000, grows=True, now=second)
    assert book.bytes_per_second == 1000
    found = measure(book, limit_bytes=1_300_000, volume=None, warn_at_percent=90)
    assert found.seconds_to_full == 1000


def test_a_finished_file_that_shrinks_or_doubles_its_folder_is_no_growth() -> None:
    book = sizes(0)
    book.sample(0)
    book.update("recordings/b", 10 * GB, grows=False, now=100)
    book.update("recordings/b", 5 * GB, grows=True, now=200)
    assert book.used_bytes == 5 * GB
    assert measure(book, limit_bytes=GB, volume=None, warn_at_percent=90).seconds_to_full is None


def test_what_ended_ten_minutes_ago_says_nothing_of_the_next() -> None:
    book = sizes(0)
    book.sample(0)
    book.update("recordings/b", GB, grows=True, now=60)
    book.sample(700)
    book.sample(1400)
    assert book.bytes_per_second == 0


def test_a_deleted_folder_is_gone_from_the_sum() -> None:
    book = sizes(GB)
    book.update("recordings/a", 0, grows=False, now=1)
    assert book.used_bytes == 0


def test_objects_are_counted_under_their_recording() -> None:
    assert folder_of("recordings/uid/attempt/001-000001.ts") == "recordings/uid"
    assert folder_of("usage.json") == "usage.json"
