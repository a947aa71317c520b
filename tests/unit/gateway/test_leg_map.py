"""The map of a leg: the last acknowledgement of a hub with a session, for the next hub."""

from __future__ import annotations

from datetime import UTC, datetime

from sluice_media.contract import LegAck, LegStretch
from sluice_media.publishing.keeper import LegMap
from tests.unit.gateway.test_retention import Source

WRAP_MS = 1 << 32
"""FLV's milliseconds begin again there, after 49 days; the times of a leg do not."""
WRAP = WRAP_MS * 90


def acknowledgement(until_ms: int) -> LegAck:
    """A hub holds everything up to there. The source was silent from 1.5 to 1 s before the wrap."""
    return LegAck(
        stream_uid="stream-uid",
        timeline="t",
        epoch=1,
        leg="primary",
        out_offset=90_000 - WRAP,
        begins_dts=WRAP - 270_000,
        earlier=(
            LegStretch(
                until_dts=WRAP - 135_000,
                out_offset=135_000 - WRAP,
                next_dts=WRAP - 90_000,
                next_utc=datetime(2026, 3, 1, tzinfo=UTC),
                gap_seconds=0.5,
            ),
        ),
        acked_dts=until_ms * 90,
        last_out_dts=450_000,
    )


def test_the_map_of_a_source_on_air_for_49_days_is_in_the_times_that_the_next_hub_reads() -> None:
    source = Source(start_ms=WRAP_MS - 3_000)
    leg_map = LegMap(source.kept)
    source.run(2)
    leg_map.acknowledged(acknowledgement(WRAP_MS - 3_000))
    assert leg_map.last == acknowledgement(WRAP_MS - 3_000)
    source.run(4)
    leg_map.acknowledged(acknowledgement(WRAP_MS + 1_500))
    assert source.pictures()[0] == WRAP_MS + 1_000
    assert leg_map.last == acknowledgement(WRAP_MS + 1_500)


def test_a_hub_without_a_session_has_no_map_to_hand_on() -> None:
    leg_map = LegMap(Source().kept)
    before = acknowledgement(WRAP_MS)
    leg_map.acknowledged(before)
    leg_map.acknowledged(before.model_copy(update={"timeline": "", "acked_dts": None}))
    assert leg_map.last == before


def test_only_the_same_hub_is_sent_no_more_than_it_lacks() -> None:
    leg_map = LegMap(Source().kept)
    before = acknowledgement(WRAP_MS)
    assert leg_map.replay_since(before) is None
    leg_map.acknowledged(before)
    # The output stands at 450,000, the source 360,000 after the wrap; tracks are 10 s apart.
    assert leg_map.replay_since(before) == WRAP + 360_000 - 900_000
    assert leg_map.replay_since(before.model_copy(update={"epoch": 2})) is None
    assert leg_map.replay_since(before.model_copy(update={"timeline": ""})) is None
