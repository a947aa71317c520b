"""Role ``push``: one pod for one Restream."""

from __future__ import annotations

import gc
from datetime import UTC, datetime

import structlog

from sluice_media.contract import HUB_TOKEN_FILE, PusherConfig, PusherStatus
from sluice_media.pod.config_files import ConfigWatch
from sluice_media.pod.settings import PodSettings
from sluice_media.pod.signals import termination
from sluice_media.pod.status_server import StatusBoard, serve_status
from sluice_media.push.metrics import PushMetrics
from sluice_media.push.runner import TICKING, Pusher


async def serve(settings: PodSettings) -> None:
    """Push until SIGTERM or SIGINT, then return; the next pod continues the broadcast.

    Raises ConfigError when the pod starts without a usable configuration.
    """
    terminate = termination()
    # Imported modules live as long as the process: the garbage collector need not scan them again.
    gc.collect()
    gc.freeze()
    watch = ConfigWatch(PusherConfig, settings.config_file, settings.keys_dir)
    structlog.contextvars.bind_contextvars(
        namespace=watch.config.namespace, restream=watch.config.name
    )
    board = StatusBoard(
        PusherStatus(pod_uid=settings.pod_uid, version=0, observed_at=datetime.now(UTC)),
        ticking=TICKING,
    )
    metrics = PushMetrics()
    async with serve_status(
        board=board,
        token=lambda: watch.key(HUB_TOKEN_FILE),
        ready=lambda: True,
        registry=metrics.registry,
        host=settings.bind,
        port=settings.status_port,
    ):
        await Pusher(watch, board, metrics, hub_port=settings.hub_port).run(terminate)
