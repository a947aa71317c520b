"""The role ``whip``: composition, signals, health."""

from __future__ import annotations

import time

import structlog
from prometheus_client import CollectorRegistry

from sluice_media.pod.signals import termination
from sluice_media.pod.status_server import serve_status
from sluice_media.publishing.keeper import reaching_hubs
from sluice_media.publishing.limits import AddressLimits
from sluice_media.publishing.locate import service_locator
from sluice_media.publishing.metrics import GatewayMetrics
from sluice_media.publishing.publication import Publish, publisher_for
from sluice_media.whip.server import running_whip
from sluice_media.whip.settings import WhipSettings

_log = structlog.get_logger(__name__)


async def serve(settings: WhipSettings) -> None:
    """Run the role with hubs that are found through the cluster's DNS."""
    registry = CollectorRegistry()
    locate = service_locator(settings.cluster_domain, settings.hub_port)
    async with reaching_hubs(locate, settings, GatewayMetrics(registry)) as hubs:
        limits = AddressLimits(settings, time.monotonic)
        await serve_whip(settings, publisher_for("WHIP", hubs, limits), registry)


async def serve_whip(settings: WhipSettings, publish: Publish, registry: CollectorRegistry) -> None:
    """Run until SIGTERM or SIGINT, then until the last session or the grace period has ended.

    ``publish`` opens publications at hubs. ``registry`` holds the metrics, which are served too.
    """
    stop = termination()
    async with (
        running_whip(settings, publish, registry) as service,
        serve_status(
            board=None,
            token=lambda: None,
            # Ready while draining too. A terminating pod gets no new flows anyway. But kube-proxy
            # deletes the conntrack entries of a UDP endpoint that is not ready, which would cut its
            # sessions.
            ready=lambda: True,
            registry=registry,
            host=settings.bind,
            port=settings.status_port,
        ),
    ):
        _log.info("whip_ready", http_port=service.http_port, media_port=service.media_port)
        await stop.wait()
        await service.drain(settings.grace_seconds)
