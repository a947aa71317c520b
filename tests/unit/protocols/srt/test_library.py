"""The binding of libsrt: addresses, error texts, and the layout of the statistics."""

from __future__ import annotations

import ctypes
from unittest import mock

import pytest

from sluice_media.protocols.srt import library as module
from sluice_media.protocols.srt.errors import ConnectRefused, LibraryMissing
from sluice_media.protocols.srt.library import pack_address, unpack_address
from sluice_media.protocols.srt.reject import RejectCode, describe_rejection


@pytest.mark.parametrize("host", ["127.0.0.1", "203.0.113.9", "::1", "2001:db8::7", "::"])
def test_addresses_there_and_back(host: str) -> None:
    assert unpack_address(pack_address(host, 9710)) == (host, 9710)


def test_ipv4_over_ipv6_is_shown_as_ipv4() -> None:
    assert unpack_address(pack_address("::ffff:203.0.113.9", 1)) == ("203.0.113.9", 1)


def test_names_are_no_addresses() -> None:
    with pytest.raises(OSError, match="illegal"):
        pack_address("localhost", 1)


def test_without_the_library_the_error_says_what_to_install() -> None:
    with (
        mock.patch.object(ctypes, "CDLL", side_effect=OSError),
        mock.patch.object(ctypes.util, "find_library", return_value=None),
        pytest.raises(LibraryMissing, match=r"libsrt1\.5-gnutls"),
    ):
        module.load.__wrapped__()


def test_every_code_of_ours_has_a_text() -> None:
    texts = {describe_rejection(code) for code in RejectCode}
    assert len(texts) == len(RejectCode)
    assert str(ConnectRefused(RejectCode.UNAUTHORIZED)) == "wrong key (code 1401)"


def test_the_statistics_are_laid_out_as_in_the_header() -> None:
    # offsetof() of CBytePerfMon in srt.h 1.5.1, 64 bit.
    want = {
        "pktSentTotal": 8,
        "pktRcvDropTotal": 68,
        "byteRecvTotal": 88,
        "pktRcvRetrans": 164,
        "pktRcvBelated": 224,
        "byteRcvUndecrypt": 296,
        "msRTT": 328,
        "msSndBuf": 372,
        "msRcvBuf": 388,
    }
    assert {name: getattr(module._Counters, name).offset for name in want} == want
