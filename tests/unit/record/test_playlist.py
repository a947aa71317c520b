"""The playlist of chunks, line by line (RFC 8216)."""

from __future__ import annotations

from datetime import timedelta

from sluice_media.contract import TimelineAnchor
from sluice_media.record.live_playlists import LivePlaylists
from sluice_media.recording.journal import ChunkEntry, FileEntry, GapEntry, Journal
from sluice_media.recording.merge import merge
from sluice_media.recording.playlist import (
    PlaylistChunk,
    media_playlist,
    merged_playlist,
    relative_to,
)
from tests.unit.record.chunk_entries import START, entry, file_entry, seconds

ANCHOR = TimelineAnchor(dts=0, utc=START)


def chunk(number: int, first: float, last: float, attempt: str = "a") -> PlaylistChunk:
    found = entry(number, first, last)
    return PlaylistChunk(found.name, attempt, found)


def tags(text: str, name: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(f"#{name}")]


def test_a_file_that_is_closed() -> None:
    text = media_playlist(
        [chunk(1, 0, 6), chunk(2, 6, 11.48)], gaps=[], anchors=[ANCHOR], closed=True
    )
    assert text.splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:3",
        "#EXT-X-TARGETDURATION:7",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        "#EXT-X-PROGRAM-DATE-TIME:2026-05-01T12:00:00.000Z",
        "#EXTINF:6.000,",
        "001-000001.ts",
        "#EXTINF:5.480,",
        "001-000002.ts",
        "#EXT-X-ENDLIST",
    ]


def test_a_file_that_grows_has_no_end_and_promises_nothing() -> None:
    text = media_playlist([chunk(1, 0, 6)], anchors=[ANCHOR], closed=False)
    assert tags(text, "EXT-X-PLAYLIST-TYPE") == ["#EXT-X-PLAYLIST-TYPE:EVENT"]
    assert "ENDLIST" not in text
    assert "INDEPENDENT" not in text


def test_independence_is_said_only_where_it_is_true() -> None:
    dependent = PlaylistChunk("b.ts", "a", entry(2, 6, 12, independent=False))
    text = media_playlist([chunk(1, 0, 6), dependent], closed=True)
    assert "INDEPENDENT" not in text


def test_where_attempts_and_gaps_join_a_player_is_told() -> None:
    anchors = [ANCHOR, TimelineAnchor(dts=seconds(12), utc=START + timedelta(seconds=42))]
    gap = GapEntry(dts=seconds(12), at_seconds=12, wall_seconds=30)
    chunks = [chunk(1, 0, 6), chunk(1, 6, 12, "b"), chunk(2, 12, 18, "b"), chunk(3, 18, 24, "b")]
    lines = media_playlist(chunks, gaps=[gap], anchors=anchors, closed=False).splitlines()
    assert [line for line in lines if line.startswith(("#EXT-X-D", "#EXT-X-PROG", "#EXTINF"))] == [
        "#EXT-X-PROGRAM-DATE-TIME:2026-05-01T12:00:00.000Z",
        "#EXTINF:6.000,",
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-PROGRAM-DATE-TIME:2026-05-01T12:00:06.000Z",
        "#EXTINF:6.000,",
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-PROGRAM-DATE-TIME:2026-05-01T12:00:42.000Z",
        "#EXTINF:6.000,",
        "#EXTINF:6.000,",
    ]


def test_a_hole_that_nobody_noted_is_a_joint() -> None:
    text = media_playlist([chunk(1, 0, 6), chunk(2, 20, 26)], closed=False)
    assert len(tags(text, "EXT-X-DISCONTINUITY")) == 1


def test_an_unusually_long_chunk_raises_the_target() -> None:
    text = media_playlist([chunk(1, 0, 9.6)], closed=True)
    assert tags(text, "EXT-X-TARGETDURATION") == ["#EXT-X-TARGETDURATION:10"]


def test_the_final_playlist_of_several_attempts() -> None:
    def journal(attempt: str, minutes: int, *chunks: ChunkEntry) -> Journal:
        return Journal(
            attempt=attempt,
            recording_uid="r",
            started_at=START + timedelta(minutes=minutes),
            files=[file_entry(chunks=list(chunks), closed=attempt == "b")],
        )

    (file,) = merge(
        [journal("a", 0, entry(1, 0, 6), entry(2, 6, 12)), journal("b", 1, entry(1, 12, 18))]
    )
    text = merged_playlist(file, relative_to("b"))
    uris = [line for line in text.splitlines() if not line.startswith("#")]
    assert uris == ["../a/001-000001.ts", "../a/001-000002.ts", "001-000001.ts"]
    assert text.endswith("#EXT-X-ENDLIST\n")


# ---------------------------------------------------------------------- while it runs


def stored(playlists: LivePlaylists, number: int, file: FileEntry | None = None) -> None:
    playlists.stored(file or file_entry(), entry(number, number * 6 - 6, number * 6))


def test_a_playlist_is_written_at_most_every_six_seconds() -> None:
    playlists = LivePlaylists("p", "a")
    assert playlists.due(0) == []
    stored(playlists, 1)
    ((identity, key, text),) = playlists.due(0)
    assert (key, text.count("#EXTINF")) == ("p/a/001.m3u8", 1)
    playlists.written(identity, 0)
    assert playlists.key(identity) == key
    stored(playlists, 2)
    assert playlists.due(5.9) == []
    assert playlists.due(6.1)[0][2].count("#EXTINF") == 2


def test_a_file_that_is_closed_is_written_at_once_and_then_forgotten() -> None:
    playlists = LivePlaylists("p", "a")
    # The last chunk was cut by the file's end, and knows of it.
    stored(playlists, 1, file_entry(closed=True))
    playlists.written(playlists.due(0)[0][0], 0)
    playlists.closed(file_entry(closed=True))
    ((identity, key, text),) = playlists.due(0.1)
    assert "ENDLIST" in text
    assert text.count("#EXTINF") == 1
    playlists.written(identity, 0.1)
    assert (playlists.due(100), playlists.key(identity)) == ([], key)


def test_a_chunk_that_is_told_twice_is_in_it_once() -> None:
    playlists = LivePlaylists("p", "a")
    stored(playlists, 1)
    stored(playlists, 1)
    assert playlists.due(0)[0][2].count("#EXTINF") == 1


def test_an_attempt_goes_on_with_the_playlist_of_the_one_before() -> None:
    before = Journal(
        attempt="a",
        recording_uid="r",
        started_at=START,
        files=[file_entry(chunks=[entry(1, 0, 6)])],
    )
    playlists = LivePlaylists("p", "b", merge([before]))
    assert playlists.key(("t1", 0)) == "p/a/001.m3u8"
    assert playlists.due(0) == [], "nothing is new"
    stored(playlists, 2)
    ((_, key, text),) = playlists.due(0)
    assert key == "p/b/001.m3u8"
    assert "../a/001-000001.ts" in text
    assert "#EXT-X-DISCONTINUITY" in text
