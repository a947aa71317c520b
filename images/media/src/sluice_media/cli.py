"""The roles of the media image, one subcommand each.

A role's modules are imported when it runs, so that a pusher does not pay for what a gateway needs;
and there is no option to parse, because settings come from the environment, so that no library for
command lines is paid for either: a pod's start is what a producer waits for. Only ``store`` takes
words: with some it is no role, but a command for people in its pod.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the role that the command line names, until it ends. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="sluice-media", description="Runs one role of the image.")
    commands = parser.add_subparsers(dest="role", metavar="ROLE", required=True)
    for role in _ROLES:
        command = commands.add_parser(role.__name__, help=role.__doc__, description=role.__doc__)
        if role is store:
            command.add_argument("words", nargs="*", help="ls [UID] | cat UID NAME")
    arguments = parser.parse_args(argv)
    if getattr(arguments, "words", None):
        _store_command(arguments.words)
    role = next(role for role in _ROLES if role.__name__ == arguments.role)
    return role()


def gateway() -> int:
    """Terminates publishers and hands their media to the hubs."""
    from sluice_media.gateway.role import serve
    from sluice_media.gateway.settings import GatewaySettings

    settings = GatewaySettings()
    return _run("gateway", settings, serve(settings))


def ingest() -> int:
    """Holds one stream's hub: legs in, one timeline out."""
    from sluice_media.hub.role import serve
    from sluice_media.pod.settings import PodSettings

    settings = PodSettings()
    return _run("ingest", settings, serve(settings))


def record() -> int:
    """Records one stream: supervises the process that does."""
    from sluice_media.record.supervisor import main

    return main()


def push() -> int:
    """Pushes one stream to one target."""
    from sluice_media.pod.settings import PodSettings
    from sluice_media.push.role import serve

    settings = PodSettings()
    return _run("push", settings, serve(settings))


def store() -> int:
    """Looks after one MediaStore: finalises, counts and serves recordings."""
    from sluice_media.pod.settings import PodSettings
    from sluice_media.store.role import serve

    settings = PodSettings()
    return _run("store", settings, serve(settings))


def _store_command(words: Sequence[str]) -> NoReturn:
    """Run the command and end the process with its exit code.

    The process ends without the interpreter's own end: while that goes on, a thread of the object
    store's library may still want to tell Python something, and then it aborts the process. So a
    command that had done its work now and then ended with SIGABRT."""
    import os
    import sys

    from sluice_media.pod.settings import PodSettings
    from sluice_media.store.cli import run

    code = run(PodSettings(), words, sys.stdout.buffer)
    sys.stderr.flush()
    os._exit(code)


def whip() -> int:
    """Takes browsers' cameras over WebRTC and hands their media to the hubs."""
    from sluice_media.whip.role import serve
    from sluice_media.whip.settings import WhipSettings

    settings = WhipSettings()
    return _run("whip", settings, serve(settings))


_ROLES: tuple[Callable[[], int], ...] = (gateway, ingest, record, push, store, whip)


def _run(role: str, settings: Any, serving: Coroutine[Any, Any, None]) -> int:
    import structlog
    import uvloop

    from sluice_media.pod.logs import configure_logging

    configure_logging(settings.log_level, settings.log_format)
    structlog.contextvars.bind_contextvars(role=role)
    uvloop.run(serving)
    return 0
