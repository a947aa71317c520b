"""What one address may do."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from sluice_media.gateway.settings import GatewaySettings
from sluice_media.publishing.limits import AddressLimits, TooManyConnections


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def limits(clock: Clock, **changes: object) -> AddressLimits:
    return AddressLimits(GatewaySettings.model_validate(changes), clock)


def test_ten_wrong_keys_in_a_minute_block_the_address_for_a_minute() -> None:
    clock = Clock()
    address = limits(clock)
    for _ in range(9):
        address.failed("a")
        assert not address.is_blocked("a")
        clock.now += 5
    address.failed("a")
    assert address.is_blocked("a")
    assert not address.is_blocked("b")
    clock.now += 59
    assert address.is_blocked("a")
    clock.now += 2
    assert not address.is_blocked("a")
    address.failed("a")
    assert not address.is_blocked("a")


def test_wrong_keys_that_come_slowly_block_nobody() -> None:
    clock = Clock()
    address = limits(clock)
    for _ in range(50):
        address.failed("a")
        clock.now += 7
    assert not address.is_blocked("a")


def test_the_limit_of_failures_can_be_switched_off() -> None:
    address = limits(Clock(), max_failures=0)
    for _ in range(50):
        address.failed("a")
    assert not address.is_blocked("a")


def test_connections_are_counted_by_address_and_in_all() -> None:
    address = limits(Clock(), max_connections=3, max_connections_per_address=2)
    with ExitStack() as stack:
        stack.enter_context(address.connection("a"))
        with address.connection("a"):
            with pytest.raises(TooManyConnections, match="address"), address.connection("a"):
                pass
            stack.enter_context(address.connection("b"))
            with pytest.raises(TooManyConnections, match="gateway"), address.connection("c"):
                pass
        stack.enter_context(address.connection("a"))


def test_a_tenth_of_the_places_is_kept_for_publishers_that_come_back() -> None:
    clock = Clock()
    address = limits(clock, max_connections=20, max_connections_per_address=9)
    address.published("encoder")
    with ExitStack() as stack:
        for stranger in 9 * ["a"] + 9 * ["b"]:
            stack.enter_context(address.connection(stranger))
        with pytest.raises(TooManyConnections, match="come back"), address.connection("c"):
            pass
        with (
            address.connection("encoder"),
            address.connection("srt", granted=True),
            pytest.raises(TooManyConnections, match="gateway"),
            address.connection("encoder"),
        ):
            pass
        clock.now += 599
        with address.connection("encoder"):
            address.published("encoder")  # its end
        clock.now += 601
        with pytest.raises(TooManyConnections, match="come back"), address.connection("encoder"):
            pass
