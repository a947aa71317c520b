"""The role ``gateway``: composition, signals, health."""

from __future__ import annotations

import resource

import structlog
from prometheus_client import CollectorRegistry

from sluice_media.gateway.server import running_gateway
from sluice_media.gateway.settings import GatewaySettings
from sluice_media.pod.signals import termination
from sluice_media.pod.status_server import serve_status
from sluice_media.publishing.locate import Locate, service_locator

_log = structlog.get_logger(__name__)


async def serve(settings: GatewaySettings, locate: Locate | None = None) -> None:
    """Run until SIGTERM or SIGINT, and then until the last publisher has left or the grace is over.

    ``locate`` finds hubs; by default through the cluster's DNS.
    """
    _allow_descriptors()
    stop = termination()
    registry = CollectorRegistry()
    find = locate or service_locator(settings.cluster_domain, settings.hub_port)
    async with (
        running_gateway(settings, find, registry) as gateway,
        serve_status(
            board=None,
            token=lambda: None,
            ready=lambda: gateway.ready,
            registry=registry,
            host=settings.bind,
            port=settings.status_port,
        ),
    ):
        _log.info(
            "gateway_ready",
            rtmp_port=gateway.port,
            rtmps_port=gateway.rtmps_port if settings.tls_dir else None,
            srt_port=settings.srt_port or None,
        )
        await stop.wait()
        await gateway.drain(settings.grace_seconds)


def _allow_descriptors() -> None:
    """Raise the soft limit of file descriptors to the hard one. 2,000 publishers need two each,
    and many containers begin with 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
