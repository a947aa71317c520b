"""What the next hub is told of a leg whose container's times began again meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime

from sluice_media.contract import LegAck, LegStretch
from sluice_media.publishing.leg_map import LegMap
from tests.unit.gateway.test_retention import Source

WRAP_MS = 1 << 32
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
    place = LegMap(source.kept, WRAP)
    source.run(2)
    place.acknowledged(acknowledgement(WRAP_MS - 3_000))
    before = place.resume()
    assert before == acknowledgement(WRAP_MS - 3_000)
    source.run(4)
    place.acknowledged(acknowledgement(WRAP_MS + 1_500))
    assert source.pictures()[0] == 1_000
    after = place.resume()
    assert after is not None
    assert (after.out_offset, after.acked_dts) == (90_000, 1_500 * 90)
    assert after.begins_dts == -270_000
    [stretch] = after.earlier
    assert (stretch.until_dts, stretch.next_dts) == (-135_000, -90_000)
    assert stretch.out_offset == 135_000
    assert stretch.gap_seconds == 0.5
    # What the next hub says is in these times, too.
    place.acknowledged(after.model_copy(update={"acked_dts": 2_500 * 90}))
    assert source.pictures()[0] == 2_000
    assert place.resume() == after.model_copy(update={"acked_dts": 2_500 * 90})
