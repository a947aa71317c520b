"""How a role is asked to end."""

from __future__ import annotations

import asyncio
import signal


def termination() -> asyncio.Event:
    """An event that is set by SIGTERM (the kubelet) or SIGINT (a developer), from now on."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    return asked
