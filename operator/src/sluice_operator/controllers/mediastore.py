"""MediaStore: its store pod and its claim."""

from __future__ import annotations

from datetime import datetime

from sluice_media.contract import StoreStatus
from sluice_operator.controllers.context import Context, fresh_token
from sluice_operator.domain.decision import Decision
from sluice_operator.domain.manifests.place import claim_name
from sluice_operator.domain.mediastore import decide
from sluice_operator.domain.observed import ObservedMediaStore
from sluice_operator.engine.cache import Manifest
from sluice_operator.kube.resources import MEDIA_STORES, PERSISTENT_VOLUME_CLAIMS, Resource


class MediaStoreController:
    resource: Resource = MEDIA_STORES

    def __init__(self, context: Context) -> None:
        self._context = context

    async def gather(self, obj: Manifest) -> ObservedMediaStore:
        context = self._context
        children, conflicts = await context.children(obj)
        namespace, claim_called = obj["metadata"]["namespace"], claim_name(obj)
        claim = None
        if claim_called is not None:
            claim = await context.lookup.find(PERSISTENT_VOLUME_CLAIMS, namespace, claim_called)
        return ObservedMediaStore(
            raw=obj,
            settings=context.settings,
            fresh_token=fresh_token(),
            operator_uptime_seconds=context.uptime_seconds(obj),
            children=children,
            conflicts=conflicts,
            claim=claim,
            pods=context.pods(obj),
            sample=context.sample(obj, StoreStatus),
        )

    def decide(self, observed: ObservedMediaStore, now: datetime) -> Decision:
        return decide(observed, now)
