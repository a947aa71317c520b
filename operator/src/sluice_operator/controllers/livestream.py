"""Controller of LiveStream: gathers children, pods, Recordings, Restreams and public Services."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sluice_media.contract import IngestStatus
from sluice_operator.controllers.context import Context, fresh_token, secret_value
from sluice_operator.controllers.indices import FOLLOWER_INDEX, SESSION_INDEX
from sluice_operator.controllers.playback import PlaybackGatherer
from sluice_operator.controllers.service_events import ServiceEvents, ServiceRef
from sluice_operator.domain.decision import Decision
from sluice_operator.domain.livestream.auto_recording import possible_names
from sluice_operator.domain.livestream.decide import decide
from sluice_operator.domain.livestream.facts import is_busy
from sluice_operator.domain.manifests.secret import BACKUP_TOKEN_KEY, TOKEN_KEY
from sluice_operator.domain.names import ROTATED_ANNOTATION, child_name
from sluice_operator.domain.observed import (
    IngestSecret,
    ObservedLiveStream,
    PublicService,
    ServicePort,
)
from sluice_operator.domain.owner import Stored
from sluice_operator.domain.protection import BUDGET
from sluice_operator.engine.cache import Manifest, uid_of
from sluice_operator.engine.queue import Key
from sluice_operator.kube.resources import LIVE_STREAMS, SECRETS, SERVICES, Resource

_SERVICE_MAX_AGE_SECONDS = 30.0
_INGEST_SECRET_MAX_AGE_SECONDS = 1.0
"""Age up to which a remembered ingest Secret is used. Secrets are not watched. The ingest pod
reports a changed key, and the pass after that report must read the new Secret."""


class LiveStreamController:
    """Reconciliation of LiveStreams."""

    resource: Resource = LIVE_STREAMS

    def __init__(
        self,
        context: Context,
        gateway: ServiceRef | None,
        whip: ServiceRef | None,
        *,
        gateway_srt: ServiceRef | None = None,
        edge: ServiceRef | None = None,
        events: ServiceEvents | None = None,
    ) -> None:
        """``gateway``, ``gateway_srt`` and ``whip`` are the Services that publishers dial, and
        ``edge`` is the Service that viewers dial; None if there is none. ``events`` returns the
        reason when one of them has no address."""
        self._context = context
        self._gateway = gateway
        self._gateway_srt = gateway_srt
        self._whip = whip
        self._events = events
        self._playback = PlaybackGatherer(context, edge, self._service)

    async def gather(self, obj: Manifest) -> ObservedLiveStream:
        """Collect the facts of a LiveStream. Raises ApiError."""
        context, meta = self._context, obj["metadata"]
        ingest_secret = await self._ingest_secret(obj)
        more = (*self._budget(obj), *self._playback.children(obj))
        children, conflicts = await context.children(obj, more)
        stream = (meta["namespace"], meta["name"])
        return ObservedLiveStream(
            raw=obj,
            settings=context.settings,
            fresh_token=fresh_token(),
            fresh_backup_token=fresh_token(),
            fresh_hub_token=fresh_token(),
            operator_uptime_seconds=context.uptime_seconds(obj),
            children=children,
            conflicts=conflicts,
            ingest_secret=ingest_secret,
            gateway=await self._service(self._gateway),
            gateway_srt=await self._service(self._gateway_srt),
            whip=await self._service(self._whip),
            pods=context.pods(obj),
            sample=context.sample(obj, IngestStatus),
            recordings=self._recordings(obj),
            restreams=tuple(context.cache.select(FOLLOWER_INDEX, stream, "Restream")),
            playback=await self._playback.gather(obj),
            recording_names=self._recording_names(obj),
        )

    def decide(self, observed: ObservedLiveStream, now: datetime) -> Decision:
        """Return the decision of the domain."""
        return decide(observed, now)

    def _budget(self, obj: Manifest) -> tuple[tuple[str, str, str], ...]:
        """Return the PodDisruptionBudget as a child if it exists or is about to be created.

        In all other cases it is left out, because a missing child costs a GET in each pass."""
        meta, sample = obj["metadata"], self._context.sample(obj, IngestStatus)
        api_version, kind = BUDGET
        key = Key(kind, meta["namespace"], child_name(meta["name"], "ingest"))
        wanted = sample is not None and is_busy(sample.status, Stored.of(obj))
        exists = self._context.cache.find(key) is not None
        return ((api_version, kind, "ingest"),) if wanted or exists else ()

    def _recordings(self, obj: Manifest) -> tuple[Manifest, ...]:
        """Return the Recordings that are not over, and those of the recordable sessions."""
        context, meta = self._context, obj["metadata"]
        select = context.cache.select
        found = select(FOLLOWER_INDEX, (meta["namespace"], meta["name"]), "Recording")
        sample = context.sample(obj, IngestStatus)
        for session in sample.status.recordable if sample is not None else ():
            found += select(SESSION_INDEX, (meta["namespace"], meta["uid"], session.started_at))
        return tuple({uid_of(recording): recording for recording in found}.values())

    def _recording_names(self, obj: Manifest) -> frozenset[str]:
        """Return the taken names among the possible names for Recordings of recordable sessions."""
        sample = self._context.sample(obj, IngestStatus)
        if not obj["spec"].get("autoRecord") or sample is None:
            return frozenset()
        cache, meta = self._context.cache, obj["metadata"]
        sessions = [session.started_at for session in sample.status.recordable]
        in_second = Counter(moment.replace(microsecond=0) for moment in sessions)
        taken = set()
        for second, needed in in_second.items():
            for name in possible_names(meta["name"], second):
                if cache.find(Key("Recording", meta["namespace"], name)) is not None:
                    taken.add(name)
                    continue
                needed -= 1
                if not needed:
                    break
        return frozenset(taken)

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
            token=secret_value(secret, TOKEN_KEY),
            backup_token=secret_value(secret, BACKUP_TOKEN_KEY),
            rotation=annotations.get(ROTATED_ANNOTATION),
            version=secret["metadata"]["resourceVersion"],
        )

    async def _service(self, ref: ServiceRef | None) -> PublicService | None:
        if ref is None:
            return None
        service = await self._context.lookup.find(
            SERVICES, ref.namespace, ref.name, max_age_seconds=_SERVICE_MAX_AGE_SECONDS
        )
        if service is None:
            return None
        found = public_service(service)
        waits = found.type == "LoadBalancer" and found.load_balancer_host is None
        if not waits or self._events is None:
            return found
        return replace(found, last_event=await self._events.last(ref))


def public_service(service: Mapping[str, Any]) -> PublicService:
    """Return the facts about a Service (v1) that public addresses depend on."""
    spec = service["spec"]
    addresses = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or [{}]
    return PublicService(
        type=spec.get("type", "ClusterIP"),
        ports={
            port["name"]: ServicePort(port["port"], port.get("nodePort"))
            for port in spec.get("ports") or ()
            if port.get("name")
        },
        load_balancer_host=addresses[0].get("ip") or addresses[0].get("hostname"),
        name=f"{service['metadata']['namespace']}/{service['metadata']['name']}",
    )
