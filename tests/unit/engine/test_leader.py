"""One Lease: never two leaders, whatever is lost on the way."""

from __future__ import annotations

import asyncio

import pytest
from sluice_operator.engine.leader import Leader, LeadershipLostError, LeaseTimes
from sluice_operator.kube.errors import ApiError, UnavailableError

from tests.unit.engine.fakes import FakeApi, FakeClock, settle


def make_leader(api: FakeApi, clock: FakeClock, identity: str) -> Leader:
    return Leader(api, clock, namespace="ns", name="lease", identity=identity)


def holder(api: FakeApi) -> str:
    return str(api.objects["Lease", "ns", "lease"]["spec"]["holderIdentity"])


def away(verb: str, kind: str, name: str) -> ApiError:
    return UnavailableError("away")


async def test_the_first_one_leads_at_once() -> None:
    api, clock = FakeApi(), FakeClock()
    await make_leader(api, clock, "a").acquire()
    assert holder(api) == "a"


async def test_the_second_one_waits_while_the_first_renews() -> None:
    api, clock = FakeApi(), FakeClock()
    first, second = make_leader(api, clock, "a"), make_leader(api, clock, "b")
    await first.acquire()
    holding = asyncio.ensure_future(first.hold())
    waiting = asyncio.ensure_future(second.acquire())
    await clock.advance(300)
    assert not waiting.done()
    assert first.is_leading
    holding.cancel()
    waiting.cancel()


async def test_the_second_one_takes_over_15_seconds_after_the_first_died() -> None:
    api, clock = FakeApi(), FakeClock()
    await make_leader(api, clock, "a").acquire()
    waiting = asyncio.ensure_future(make_leader(api, clock, "b").acquire())
    await clock.advance(14)
    assert not waiting.done()
    await clock.advance(4)
    assert waiting.done()
    assert holder(api) == "b"
    assert api.objects["Lease", "ns", "lease"]["spec"]["leaseTransitions"] == 2


async def test_a_leader_cut_off_stops_before_anybody_else_begins() -> None:
    """The promise itself: at no moment do both believe that they lead."""
    api, clock = FakeApi(), FakeClock()
    first, second = make_leader(api, clock, "a"), make_leader(api, clock, "b")
    await first.acquire()
    holding = asyncio.ensure_future(first.hold())
    waiting = asyncio.ensure_future(second.acquire())
    await clock.advance(31)
    cut_off_since = clock.monotonic()
    # The first one's requests are lost from now on; the second one's are not.
    real_try = first._try
    first._try = lambda: _lost(real_try)  # type: ignore[method-assign,assignment]
    while not waiting.done():
        await clock.advance(0.25)
        assert not (first.is_leading and second.is_leading)
        assert clock.monotonic() - cut_off_since < 20
    with pytest.raises(LeadershipLostError):
        await holding


async def _lost(real: object) -> bool:
    return False


async def test_a_renewal_that_hangs_ends_leadership_in_time() -> None:
    api, clock = FakeApi(), FakeClock()
    leader = make_leader(api, clock, "a")
    await leader.acquire()
    await clock.advance(9.99)
    assert leader.is_leading
    await clock.advance(0.02)
    assert not leader.is_leading


async def test_a_short_outage_is_survived() -> None:
    api, clock = FakeApi(), FakeClock()
    leader = make_leader(api, clock, "a")
    await leader.acquire()
    holding = asyncio.ensure_future(leader.hold())
    api.fail = away
    await clock.advance(7)
    api.fail = lambda verb, kind, name: None
    await clock.advance(30)
    assert leader.is_leading
    assert not holding.done()
    holding.cancel()


async def test_a_long_outage_ends_leadership() -> None:
    api, clock = FakeApi(), FakeClock()
    leader = make_leader(api, clock, "a")
    await leader.acquire()
    holding = asyncio.ensure_future(leader.hold())
    api.fail = away
    await clock.advance(12)
    with pytest.raises(LeadershipLostError):
        await holding


async def test_losing_the_lease_cancels_what_runs_under_it() -> None:
    api, clock = FakeApi(), FakeClock()
    leader = make_leader(api, clock, "a")
    cancelled = False

    async def work() -> None:
        nonlocal cancelled
        try:
            async with leader.leading():
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    working = asyncio.ensure_future(work())
    await settle()
    api.fail = away
    await clock.advance(12)
    with pytest.raises(BaseExceptionGroup) as failure:
        await working
    assert failure.group_contains(LeadershipLostError)


async def test_a_clean_end_lets_the_next_one_begin_at_once() -> None:
    api, clock = FakeApi(), FakeClock()
    async with make_leader(api, clock, "a").leading():
        assert holder(api) == "a"
    assert holder(api) == ""
    await make_leader(api, clock, "b").acquire()
    assert holder(api) == "b"


async def test_a_container_that_restarts_in_its_pod_goes_on_at_once() -> None:
    api, clock = FakeApi(), FakeClock()
    await make_leader(api, clock, "pod-1").acquire()
    await asyncio.wait_for(make_leader(api, clock, "pod-1").acquire(), 1)


async def test_somebody_who_annotates_the_lease_does_not_end_leadership() -> None:
    api, clock = FakeApi(), FakeClock()
    leader = make_leader(api, clock, "a")
    await leader.acquire()
    holding = asyncio.ensure_future(leader.hold())
    lease = api.objects["Lease", "ns", "lease"]
    api.put({**lease, "metadata": {**lease["metadata"], "annotations": {"x": "1"}}})
    await clock.advance(30)
    assert leader.is_leading
    holding.cancel()


async def test_a_lease_taken_by_force_ends_leadership() -> None:
    api, clock = FakeApi(), FakeClock()
    leader = make_leader(api, clock, "a")
    await leader.acquire()
    holding = asyncio.ensure_future(leader.hold())
    lease = api.objects["Lease", "ns", "lease"]
    api.put({**lease, "spec": {**lease["spec"], "holderIdentity": "b"}})
    await clock.advance(3)
    with pytest.raises(LeadershipLostError):
        await holding
    assert holder(api) == "b"


async def test_a_deleted_lease_is_not_taken_from_a_holder_who_does_not_know() -> None:
    api, clock = FakeApi(), FakeClock()
    first, second = make_leader(api, clock, "a"), make_leader(api, clock, "b")
    await first.acquire()
    waiting = asyncio.ensure_future(second.acquire())
    await clock.advance(3)
    api.drop("Lease", "ns", "lease")
    await clock.advance(10)
    assert not waiting.done()
    await clock.advance(10)
    assert waiting.done()


def test_times_that_allow_two_leaders_are_refused() -> None:
    with pytest.raises(ValueError, match="renew deadline < lease duration"):
        LeaseTimes(lease_seconds=10, renew_deadline_seconds=10)
