"""A gateway over its budget, with publishers that send."""

from __future__ import annotations

from tests.support.gateway_rig import Rig, until


async def test_a_gateway_over_its_budget_cuts_no_publisher_and_counts_what_went() -> None:
    async with (
        Rig(memory_limit_bytes=1_000_000).running() as rig,
        rig.publisher("one?right-key") as one,
        rig.publisher("two?right-key") as two,
    ):
        publishers = (one, two)
        for publisher in publishers:
            await publisher.accepted()
        for _ in range(30):
            for publisher in publishers:
                publisher.play(5, size=5_000)
        for leg, publisher in zip(rig.hub.legs, publishers, strict=True):
            await until(lambda leg=leg, sent=publisher: leg.pictures == sent.pictures)  # type: ignore[misc]
        await until(lambda: rig.metric("retained_bytes") > 400_000)
        assert rig.metric("retained_bytes") <= 600_000
        assert rig.metric("shed_groups_total", recorded="yes") > 30
        assert rig.metric("shed_groups_total", recorded="no") == 0
        assert rig.metric("publishers") == 2
