"""The numbers of segments, and all that their bytes depend on, over the loss of hubs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_media.contract import TimelineSegment
from tests.unit.gateway.takeover import Takeover


class Segments:
    """A stream, and the records of its segments as a player gets them over all its hubs."""

    def __init__(self, **config: object) -> None:
        self.stream = Takeover(**config)
        self.seen: dict[int, str] = {}
        """Number → record, as JSON."""
        self.different: list[tuple[str, str]] = []

    def note(self) -> None:
        self.stream.recorder.catch_up()
        for record in self.stream.recorder.records:
            if isinstance(record, TimelineSegment):
                text = record.to_json()
                if self.seen.setdefault(record.number, text) != text:
                    self.different.append((self.seen[record.number], text))

    def replace_hub(self) -> None:
        self.note()
        self.stream.replace_hub()
        self.note()

    def assert_one_numbering(self) -> None:
        self.note()
        assert not self.different
        assert sorted(self.seen) == list(range(len(self.seen)))


@pytest.mark.parametrize("sent", [0.5, 3.3, 12.5, 40.2])
@pytest.mark.parametrize("records", [False, True], ids=["watched only", "recorded"])
def test_a_new_hub_goes_on_with_the_same_segments(sent: float, records: bool) -> None:
    lost, usual = Segments(), Segments()
    for each in (lost, usual):
        each.stream.holds = records
        each.stream.send(sent)
    lost.replace_hub()
    for each in (lost, usual):
        each.stream.send(9)
        each.assert_one_numbering()
    assert len(lost.seen) == len(usual.seen)


def test_a_hub_that_is_lost_while_it_reads_the_replay_changes_no_segment() -> None:
    segments = Segments()
    segments.stream.send(20.3)
    for replayed in (0.1, 0.5, 0.9):
        segments.note()
        segments.stream.replace_hub(replayed=replayed)
        segments.replace_hub()
        segments.stream.send(3.1)
    segments.assert_one_numbering()


@pytest.mark.parametrize("then", [0.7, 2, 5.9, 20])
def test_the_segments_around_a_silence_of_the_source_are_the_same_at_the_next_hub(
    then: float,
) -> None:
    """Also the run that begins behind the gap."""
    segments = Segments(resume_window_seconds=60)
    segments.stream.send(12.5)
    segments.stream.cut_off(6)
    segments.stream.send(then)
    segments.replace_hub()
    segments.stream.send(5)
    segments.assert_one_numbering()


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["send", "silence", "new hub", "same hub", "jump"]),
            st.floats(0.3, 8),
        ),
        min_size=2,
        max_size=8,
    ),
    st.booleans(),
)
def test_losses_and_silences_in_any_order_keep_one_numbering(
    steps: list[tuple[str, float]], records: bool
) -> None:
    segments = Segments(resume_window_seconds=60)
    stream = segments.stream
    stream.holds = records
    stream.send(3.3)
    for event, seconds in steps:
        match event:
            case "silence":
                stream.cut_off(seconds)
            case "new hub":
                segments.replace_hub()
            case "same hub":
                stream.silence_hub()
            case "jump":
                stream.jump(-seconds)
        stream.send(seconds)
        segments.note()
    segments.assert_one_numbering()
