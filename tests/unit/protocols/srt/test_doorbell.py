"""What libsrt finds when it is started by the first caller."""

from __future__ import annotations

import os

import pytest
import uvloop

from sluice_media.protocols.srt.doorbell import Doorbell


@pytest.mark.parametrize("blocking", [True, False])
def test_the_socket_waits_as_libsrts_own_would(blocking: bool) -> None:
    """libsrt sleeps in its reads: given a socket that uvloop had made non-blocking, it span."""

    async def handed_over() -> bool:
        bell = Doorbell("127.0.0.1", 0, lambda: None)
        descriptor = bell.placeholder()
        try:
            os.set_blocking(descriptor, blocking)
            bell.hand_over(descriptor)
            return os.get_blocking(descriptor)
        finally:
            os.close(descriptor)
            bell.close()

    assert uvloop.run(handed_over()) is blocking
