"""Signals that end a role."""

from __future__ import annotations

import asyncio
import signal


def termination() -> asyncio.Event:
    """Return an event that SIGTERM (from the kubelet) or SIGINT (from a developer) sets."""
    requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, requested.set)
    return requested
