"""The roles of the media image, one subcommand each.

The start of a pod must be fast, because a producer waits for it. So a role's modules are imported
only when the role runs. Settings come from the environment, and the command line needs no library
for options. Only ``store`` takes arguments: with arguments it is a command for people in the
store's pod.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn


def main(argv: Sequence[str] | None = None) -> int:
    """Run the role that the command line names, until it ends. Return the exit code."""
    parser = argparse.ArgumentParser(prog="sluice-media", description="Runs one role of the image.")
    commands = parser.add_subparsers(dest="role", metavar="ROLE", required=True)
    for role in _ROLES:
        command = commands.add_parser(role.__name__, help=role.__doc__, description=role.__doc__)
        if role is store:
            command.add_argument("arguments", nargs="*", help="ls [UID] | cat UID NAME")
    parsed = parser.parse_args(argv)
    if getattr(parsed, "arguments", None):
        _store_command(parsed.arguments)
    role = next(role for role in _ROLES if role.__name__ == parsed.role)
    return role()


def gateway() -> int:
    """Accept publishers and forward their media to the hubs."""
    from sluice_media.gateway.role import serve
    from sluice_media.gateway.settings import GatewaySettings

    settings = GatewaySettings()
    return _run("gateway", settings, serve(settings))


def ingest() -> int:
    """Run the hub of one stream: legs in, one timeline out."""
    from sluice_media.hub.role import serve
    from sluice_media.pod.settings import PodSettings

    settings = PodSettings()
    return _run("ingest", settings, serve(settings))


def record() -> int:
    """Record one stream, in a supervised process."""
    from sluice_media.record.role import main

    return main()


def push() -> int:
    """Push one stream to one target."""
    from sluice_media.pod.settings import PodSettings
    from sluice_media.push.role import serve

    settings = PodSettings()
    return _run("push", settings, serve(settings))


def store() -> int:
    """Serve one MediaStore: finalise, count and serve its recordings."""
    from sluice_media.pod.settings import PodSettings
    from sluice_media.store.role import serve

    settings = PodSettings()
    return _run("store", settings, serve(settings))


def _store_command(arguments: Sequence[str]) -> NoReturn:
    """Run the command and end the process with its exit code, without the interpreter's shutdown.

    During that shutdown a thread of the object store's library may still call Python, which aborts
    the process. Commands that had finished their work sometimes ended with SIGABRT.
    """
    import os
    import sys

    from sluice_media.pod.settings import PodSettings
    from sluice_media.store.cli import run

    code = run(PodSettings(), arguments, sys.stdout.buffer)
    sys.stderr.flush()
    os._exit(code)


def play() -> int:
    """Serve one stream to the edge."""
    from sluice_media.play.role import serve
    from sluice_media.pod.settings import PodSettings

    settings = PodSettings()
    return _run("play", settings, serve(settings))


def whip() -> int:
    """Accept browsers over WebRTC (WHIP) and forward their media to the hubs."""
    from sluice_media.whip.role import serve
    from sluice_media.whip.settings import WhipSettings

    settings = WhipSettings()
    return _run("whip", settings, serve(settings))


_ROLES: tuple[Callable[[], int], ...] = (gateway, ingest, record, push, store, play, whip)


def _run(role: str, settings: Any, serving: Coroutine[Any, Any, None]) -> int:
    import structlog
    import uvloop

    from sluice_media.pod.logs import configure_logging

    configure_logging(settings.log_level, settings.log_format)
    structlog.contextvars.bind_contextvars(role=role)
    uvloop.run(serving)
    return 0
