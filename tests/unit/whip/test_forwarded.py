"""The publisher's address behind proxies."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from sluice_media.whip.forwarded import publisher_address

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "want"),
    [
        pytest.param("203.0.113.7", [], "203.0.113.7", id="no proxy"),
        pytest.param("203.0.113.7", ["192.0.2.1"], "203.0.113.7", id="a forged header"),
        pytest.param("10.1.1.1", ["192.0.2.1"], "192.0.2.1", id="one proxy"),
        pytest.param("::ffff:10.1.1.1", ["192.0.2.1"], "192.0.2.1", id="IPv4 over IPv6"),
        pytest.param("10.1.1.1", ["1.2.3.4, 192.0.2.1"], "192.0.2.1", id="invented before it"),
        pytest.param("10.1.1.1", ["1.2.3.4", "192.0.2.1"], "192.0.2.1", id="two headers"),
        pytest.param("10.1.1.1", ["192.0.2.1, 10.2.2.2"], "192.0.2.1", id="two proxies"),
        pytest.param("10.1.1.1", ["10.3.3.3"], "10.3.3.3", id="proxies alone"),
        pytest.param("10.1.1.1", [], "10.1.1.1", id="a proxy that says nothing"),
        pytest.param("10.1.1.1", ["unknown"], "10.1.1.1", id="no address"),
        pytest.param("10.1.1.1", ["192.0.2.1:4711"], "192.0.2.1", id="with a port"),
        pytest.param("fd00::1", ["[2001:db8::9]:4711"], "2001:db8::9", id="IPv6 with a port"),
        pytest.param("fd00::1", ["2001:db8::9"], "2001:db8::9", id="IPv6"),
    ],
)
def test_only_entries_of_trusted_proxies_count(
    peer: str, forwarded_for: list[str], want: str
) -> None:
    assert publisher_address(peer, forwarded_for, PROXIES) == want
    assert publisher_address(peer, forwarded_for, []) == peer.removeprefix("::ffff:")
