"""Nothing is dialled that a user must not reach, however its address is written."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.contract import AddressGuard
from sluice_media.net.address_guard import AddressRules, DialGuard, NotAllowedError

RULES = AddressRules.of(AddressGuard(denied=["10.96.0.0/12", "fd00:10::/64"]))


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("127.0.0.1", "loopback"),
        ("127.9.9.9", "loopback"),
        ("::1", "loopback"),
        ("169.254.169.254", "metadata"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("10.96.0.1", "10.96.0.0/12"),
        ("fd00:10::7", "fd00:10::/64"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.96.0.1", "10.96.0.0/12"),
        ("::127.0.0.1", "loopback"),
        ("64:ff9b::169.254.169.254", "metadata"),
        ("64:ff9b::10.96.0.1", "10.96.0.0/12"),
        ("64:ff9b:1::1", "translation"),
        ("2002:7f00:1::1", "loopback"),
        ("2002:a9fe:a9fe::", "metadata"),
        ("2001:0:a9fe:a9fe::1", "metadata"),
    ],
)
def test_a_denied_address_is_refused_with_its_rule(address: str, rule: str) -> None:
    with pytest.raises(NotAllowedError, match=rule):
        RULES.check_address(ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["10.0.0.7", "192.168.1.20", "172.16.0.1", "8.8.8.8", "2606:4700::1", "fd12::1",
     "::ffff:192.168.1.20", "64:ff9b::8.8.8.8"],
)  # fmt: skip
def test_cameras_and_the_internet_are_allowed(address: str) -> None:
    RULES.check_address(ip_address(address))


def test_an_allowed_range_wins_over_every_denied_one() -> None:
    rules = AddressRules.of(
        AddressGuard(denied=["10.0.0.0/8"], allowed=["10.96.5.0/24", "127.0.0.1/32"])
    )
    for address in ("10.96.5.9", "127.0.0.1", "::ffff:127.0.0.1"):
        rules.check_address(ip_address(address))
    for address in ("10.96.6.9", "127.0.0.2"):
        with pytest.raises(NotAllowedError):
            rules.check_address(ip_address(address))


def test_an_allowed_tunnel_does_not_allow_what_is_inside() -> None:
    rules = AddressRules.of(AddressGuard(allowed=["64:ff9b::/96"]))
    with pytest.raises(NotAllowedError, match="metadata"):
        rules.check_address(ip_address("64:ff9b::169.254.169.254"))


@pytest.mark.parametrize("text", ["10.0.0.0/33", "everything", ""])
def test_a_range_that_cannot_be_read_is_no_range_that_is_left_out(text: str) -> None:
    with pytest.raises(ValueError):
        AddressRules.of(AddressGuard(denied=[text]))


@given(st.integers(0, 2**32 - 1))
def test_no_way_of_writing_an_ipv4_address_changes_the_verdict(number: int) -> None:
    def refused(text: str) -> bool:
        try:
            RULES.check_address(ip_address(text))
        except NotAllowedError:
            return True
        return False

    plain = str(ip_address(number))
    if refused(plain):
        high, low = number >> 16, number & 0xFFFF
        assert refused(f"::ffff:{plain}")
        assert refused(f"64:ff9b::{plain}")
        assert refused(f"2002:{high:x}:{low:x}::1")


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.", "a.localhost", "kubernetes.default.svc", "x.svc.",
     "db.ns.svc.cluster.local", "Cluster.Local", "a.cluster.local."],
)  # fmt: skip
def test_names_of_the_cluster_are_refused(host: str) -> None:
    with pytest.raises(NotAllowedError, match="cluster's own"):
        RULES.host(host)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "a.0x7f"])
def test_numbers_that_resolvers_read_as_addresses_are_refused(host: str) -> None:
    with pytest.raises(NotAllowedError):
        RULES.host(host)


@pytest.mark.parametrize("host", ["", ".", "a..b", "-a.b", "a b", "é.example", "a" * 64, "a.b."])
def test_only_valid_names_pass_and_they_are_fully_qualified(host: str) -> None:
    if host == "a.b.":
        assert RULES.host(host) == RULES.host("A.B") == "a.b."
        return
    with pytest.raises(NotAllowedError):
        RULES.host(host)


def answering(*answers: Sequence[str]) -> tuple[DialGuard, list[str]]:
    asked: list[str] = []

    async def resolve(name: str) -> Sequence[str]:
        asked.append(name)
        return answers[min(len(asked), len(answers)) - 1]

    return DialGuard(RULES, resolve), asked


async def test_one_denied_address_among_several_refuses_the_name() -> None:
    guard, asked = answering(["8.8.8.8", "169.254.169.254"])
    with pytest.raises(NotAllowedError, match="metadata"):
        await guard.addresses("Camera.Example")
    assert asked == ["camera.example."]


async def test_an_allowed_name_may_lead_into_the_cluster_but_nowhere_worse() -> None:
    name = "gateway.system.svc.cluster.local"
    rules = AddressRules.of(AddressGuard(denied=["10.96.0.0/12"], allowed_names=[name.upper()]))

    async def resolve(asked: str) -> Sequence[str]:
        return answers[asked]

    guard = DialGuard(rules, resolve)
    answers = {f"{name}.": ["10.96.0.7"], "other.example.": ["10.96.0.7"]}
    assert [str(a) for a in await guard.addresses(name)] == ["10.96.0.7"]
    with pytest.raises(NotAllowedError, match="denied range"):
        await guard.addresses("other.example")
    with pytest.raises(NotAllowedError, match="the cluster's own"):
        await guard.addresses(f"x.{name}")
    answers[f"{name}."] = ["169.254.169.254"]
    with pytest.raises(NotAllowedError, match="metadata"):
        await guard.addresses(name)


async def test_a_name_that_answers_otherwise_the_second_time_is_checked_again() -> None:
    guard, _ = answering(["8.8.8.8"], ["127.0.0.1"])
    assert await guard.addresses("rebind.example") == (ip_address("8.8.8.8"),)
    with pytest.raises(NotAllowedError, match="loopback"):
        await guard.addresses("rebind.example")


async def test_a_name_without_addresses_does_not_resolve() -> None:
    guard, _ = answering([])
    with pytest.raises(socket.gaierror):
        await guard.addresses("nothing.example")
