"""LiveStream: its children, its pod, who records and restreams it, and the gateway's address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice_media.contract import RTMP_PORT, IngestStatus
from sluice_operator.domain.decision import Decision
from sluice_operator.domain.livestream import decide
from sluice_operator.domain.names import ROTATED_ANNOTATION, child_name
from sluice_operator.domain.observed import GatewayService, IngestSecret, ObservedLiveStream
from sluice_operator.engine.cache import Manifest
from sluice_operator.gather.common import STREAM_INDEX, Context, fresh_token, secret_value
from sluice_operator.kube.resources import LIVE_STREAMS, SECRETS, SERVICES, Resource

__all__ = ["GatewayRef", "LiveStreamController", "gateway_service"]

_GATEWAY_MAX_AGE_SECONDS = 30.0
_INGEST_SECRET_MAX_AGE_SECONDS = 1.0
"""Nobody tells us of an edit but the ingest pod, which wakes us when its mounted key changed."""
_RTMP_PORT_NAME = "rtmp"


@dataclass(slots=True, frozen=True)
class GatewayRef:
    namespace: str
    name: str


class LiveStreamController:
    resource: Resource = LIVE_STREAMS

    def __init__(self, context: Context, gateway: GatewayRef | None) -> None:
        """``gateway``: the gateway's Service; None when there is none."""
        self._context = context
        self._gateway = gateway

    async def gather(self, obj: Manifest) -> ObservedLiveStream:
        context, meta = self._context, obj["metadata"]
        ingest_secret = await self._ingest_secret(obj)
        children, conflicts = await context.children(obj)
        stream = (meta["namespace"], meta["name"])
        return ObservedLiveStream(
            raw=obj,
            settings=context.settings,
            fresh_token=fresh_token(),
            fresh_hub_token=fresh_token(),
            operator_uptime_seconds=context.uptime_seconds,
            children=children,
            conflicts=conflicts,
            ingest_secret=ingest_secret,
            gateway=await self._gateway_service(),
            pods=context.pods(obj),
            sample=context.sample(obj, IngestStatus),
            recordings=tuple(context.cache.select(STREAM_INDEX, stream, "Recording")),
            restreams=tuple(context.cache.select(STREAM_INDEX, stream, "Restream")),
        )

    def decide(self, observed: ObservedLiveStream, now: datetime) -> Decision:
        return decide(observed, now)

    async def _ingest_secret(self, obj: Manifest) -> IngestSecret | None:
        meta = obj["metadata"]
        name = child_name(meta["name"], "ingest")
        secret = await self._context.lookup.find(
            SECRETS, meta["namespace"], name, max_age_seconds=_INGEST_SECRET_MAX_AGE_SECONDS
        )
        if secret is None:
            return None
        annotations = secret["metadata"].get("annotations") or {}
        return IngestSecret(
            token=secret_value(secret, "token"),
            rotation=annotations.get(ROTATED_ANNOTATION),
            version=secret["metadata"]["resourceVersion"],
        )

    async def _gateway_service(self) -> GatewayService | None:
        if self._gateway is None:
            return None
        service = await self._context.lookup.find(
            SERVICES,
            self._gateway.namespace,
            self._gateway.name,
            max_age_seconds=_GATEWAY_MAX_AGE_SECONDS,
        )
        return gateway_service(service) if service is not None else None


def gateway_service(service: Mapping[str, Any]) -> GatewayService:
    """What publishers' addresses follow from, out of a raw Service (v1)."""
    spec = service["spec"]
    ports = spec.get("ports") or [{}]
    rtmp = next(
        (p for p in ports if p.get("name") == _RTMP_PORT_NAME),
        next((p for p in ports if p.get("port") == RTMP_PORT), ports[0]),
    )
    addresses = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or [{}]
    return GatewayService(
        type=spec.get("type", "ClusterIP"),
        rtmp_port=rtmp.get("port", RTMP_PORT),
        rtmp_node_port=rtmp.get("nodePort"),
        load_balancer_host=addresses[0].get("ip") or addresses[0].get("hostname"),
    )
