"""The JSON form of a segment: what comes back is the segment without its bytes."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.play.dash import Manifest
from sluice_media.play.hls import MediaPlaylist
from sluice_media.play.segment_json import BrokenSegment, segment_from_json, segment_to_json
from tests.support.playback import table_of
from tests.unit.play.streams import stream


def test_a_segment_comes_back_without_its_bytes() -> None:
    for segment in table_of(stream(9, ended=False)).segments:
        again = segment_from_json(json.loads(json.dumps(segment_to_json(segment))))
        for track in segment.tracks.values():
            track.parts = [replace(part, data=None) for part in track.parts]
        assert again == segment


def test_playlists_of_copied_segments_are_equal() -> None:
    whole, copied = table_of(stream(20, ended=False)), table_of([])
    for segment in whole.segments:
        copied.insert(segment_from_json(segment_to_json(segment)), whole.formats[0])
    assert MediaPlaylist(copied, 0).render() == MediaPlaylist(whole, 0).render()
    assert Manifest(copied).render() == Manifest(whole).render()


@pytest.mark.parametrize(
    "wrong",
    [None, [], {}, {"number": 1}, "x", 7],
)
def test_other_json_is_refused(wrong: object) -> None:
    with pytest.raises(BrokenSegment):
        segment_from_json(wrong)


_VALID: dict[str, Any] = segment_to_json(table_of(stream(5)).segments[1])
_junk = st.one_of(st.none(), st.integers(), st.text(max_size=3), st.lists(st.integers()))


@given(st.sampled_from(sorted(_VALID)), _junk, st.booleans())
def test_damaged_json_is_refused_or_read(name: str, junk: object, inside: bool) -> None:
    value = copy.deepcopy(_VALID)
    if inside:
        value["tracks"]["0"][name if name in ("closed", "parts") else "parts"] = junk
    else:
        value[name] = junk
    with suppress(BrokenSegment):
        assert segment_to_json(segment_from_json(value))["tracks"]
