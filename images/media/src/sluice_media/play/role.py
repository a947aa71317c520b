"""Role ``play``: one of the pods that serve a stream to the edge."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from datetime import UTC, datetime

import aiohttp
import structlog
from aiohttp import web

from sluice_media.contract import EDGE_TOKEN_FILE, HUB_TOKEN_FILE, PlayConfig, PlayStatus
from sluice_media.net.http_server import serving
from sluice_media.play.metrics import PlayMetrics
from sluice_media.play.origin import Origin
from sluice_media.play.player import TICKING, Player
from sluice_media.play.sibling import Locate, SiblingApi, SiblingClient, find_urls
from sluice_media.pod.config_files import ConfigWatch
from sluice_media.pod.settings import PodSettings
from sluice_media.pod.signals import termination
from sluice_media.pod.status_server import StatusBoard, serve_status

DRAIN_SECONDS = 5.0
"""Time for which a terminating pod still answers, while the edge turns to the other pods."""


async def serve(settings: PodSettings, locate: Locate = find_urls) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return.

    ``locate`` returns the URLs of the stream's play pods. Raises ConfigError when the pod starts
    without a usable configuration.
    """
    terminate = termination()
    # Imported modules live as long as the process: the garbage collector need not scan them again.
    gc.collect()
    gc.freeze()
    watch = ConfigWatch(PlayConfig, settings.config_file, settings.keys_dir)
    structlog.contextvars.bind_contextvars(
        namespace=watch.config.namespace, stream=watch.config.name
    )
    board = StatusBoard(
        PlayStatus(pod_uid=settings.pod_uid, version=0, observed_at=datetime.now(UTC)),
        ticking=TICKING,
    )
    board.configured(watch.config)
    metrics = PlayMetrics()
    async with aiohttp.ClientSession() as http:
        siblings = SiblingClient(
            http,
            locate=locate,
            port=settings.play_port,
            pod_uid=settings.pod_uid,
            token=lambda: watch.key(HUB_TOKEN_FILE),
        )
        player = Player(watch, settings, board, metrics, http, siblings)
        status = serve_status(
            board=board,
            token=lambda: watch.key(HUB_TOKEN_FILE),
            ready=lambda: player.ready,
            registry=metrics.registry,
            host=settings.bind,
            port=settings.status_port,
        )
        app = _application(player, watch, settings, metrics)
        async with status, serving(app, settings.bind, settings.play_port):
            running = asyncio.create_task(player.run())
            stopping = asyncio.create_task(terminate.wait())
            await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not running.done():
                player.stopping = True
                await asyncio.sleep(DRAIN_SECONDS if player.session(None) else 0)
                running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


def _application(
    player: Player, watch: ConfigWatch[PlayConfig], settings: PodSettings, metrics: PlayMetrics
) -> web.Application:
    origin = Origin(
        session=player.session,
        config=lambda: watch.config,
        token=lambda: watch.key(EDGE_TOKEN_FILE),
        keys=player.keys,
        ready=lambda: player.ready,
        screenshots=player.screenshots,
        metrics=metrics,
    )
    sibling = SiblingApi(
        pod_uid=settings.pod_uid,
        session=player.session,
        token=lambda: watch.key(HUB_TOKEN_FILE),
    )
    app = web.Application()
    app.router.add_get("/sibling/session", sibling.state)
    app.router.add_get("/sibling/{session}/{number}", sibling.segment)
    app.router.add_get("/{path:.*}", origin.get)
    return app
