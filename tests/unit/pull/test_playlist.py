"""Rewritten playlists: no URI of a source is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.pull.playlist import is_playlist, rewrite_playlist


def test_every_place_of_a_uri_is_rewritten() -> None:
    seen: list[str] = []

    def rename(uri: str) -> str:
        seen.append(uri)
        return f"new{len(seen)}"

    text = rewrite_playlist(
        '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="k?a=1,b",IV=0x1\n#EXT-X-MAP:URI = bare,X=1\n'
        "#EXTINF:4,\nhttps://cdn.example/1.ts\n#EXTINF:4,\n 2.ts \r\n",
        rename,
    )
    assert seen == ["k?a=1,b", "bare", "https://cdn.example/1.ts", "2.ts"]
    assert text.splitlines() == [
        "#EXTM3U", '#EXT-X-KEY:METHOD=AES-128,URI="new1",IV=0x1', '#EXT-X-MAP:URI="new2",X=1',
        "#EXTINF:4,", "new3", "#EXTINF:4,", "new4",
    ]  # fmt: skip


def test_of_several_variants_the_best_is_left_with_its_audio() -> None:
    text = rewrite_playlist(
        '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",URI="audio.m3u8"\n'
        "#EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=9000000,BANDWIDTH=800000\nlow.m3u8\n"
        '#EXT-X-STREAM-INF:BANDWIDTH=6000000,AUDIO="a"\nhigh.m3u8\n'
        '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI="i.m3u8"\n',
        str.upper,
    )
    assert "AUDIO.M3U8" in text
    assert "HIGH.M3U8" in text
    assert "LOW" not in text.upper().replace("ALLOW", "")
    assert "I.M3U8" not in text


def test_a_refused_uri_refuses_the_playlist() -> None:
    def refuse(_: str) -> str:
        raise ValueError

    with pytest.raises(ValueError):
        rewrite_playlist("#EXTM3U\nfile:///etc/passwd\n", refuse)


def test_playlists_are_recognized() -> None:
    assert is_playlist(b"#EXTM3U\n")
    assert is_playlist(b"\xef\xbb\xbf#EXTM3U\n")
    assert not is_playlist(b"G@\0\x10")


@given(st.text())
def test_in_any_text_each_line_that_is_no_comment_is_renamed(text: str) -> None:
    lines = rewrite_playlist("#EXTM3U\n" + text, lambda _: "OURS").splitlines()
    assert all(line.startswith("#") or line == "OURS" for line in lines)
