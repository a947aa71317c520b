"""Host and port as a URI writes them."""

from __future__ import annotations

from sluice_media.net.authority import authority


def test_an_ipv6_address_stands_in_brackets_and_nothing_else_does() -> None:
    assert authority("cam.example", 554) == "cam.example:554"
    assert authority("192.0.2.7", 554) == "192.0.2.7:554"
    assert authority("2001:db8::7", 554) == "[2001:db8::7]:554"
    assert authority("2001:db8::7") == "[2001:db8::7]"
    assert authority("cam.example") == "cam.example"
