"""The roles of the media image, one subcommand each.

A role's modules are imported when it runs, so that a pusher does not pay for what a gateway needs.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import structlog
import typer
import uvloop

from sluice_media.logs import configure_logging
from sluice_media.settings import PodSettings

__all__ = ["app"]

app = typer.Typer(
    name="sluice-media", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


def _run(role: str, settings: PodSettings, main: Coroutine[Any, Any, None]) -> None:
    configure_logging(settings.log_level, settings.log_format)
    structlog.contextvars.bind_contextvars(role=role)
    uvloop.run(main)


@app.command()
def gateway() -> None:
    """Terminates publishers and hands their media to the hubs."""
    from sluice_media.gateway.role import GatewaySettings, serve

    settings = GatewaySettings()
    _run("gateway", settings, serve(settings))


@app.command()
def ingest() -> None:
    """Holds one stream's hub: legs in, one timeline out."""
    from sluice_media.hub.role import serve

    settings = PodSettings()
    _run("ingest", settings, serve(settings))


@app.command()
def record() -> None:
    """Records one stream: supervises the process that does."""
    from sluice_media.record.supervisor import main

    raise typer.Exit(main())


@app.command()
def push() -> None:
    """Pushes one stream to one target."""
    from sluice_media.push.role import serve

    settings = PodSettings()
    _run("push", settings, serve(settings))


@app.command()
def store() -> None:
    """Looks after one MediaStore: finalises, counts and serves recordings."""
    from sluice_media.store.role import serve

    settings = PodSettings()
    _run("store", settings, serve(settings))
