"""Controller of MediaStore: gathers its store pod and its claim."""

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
    """Reconciliation of MediaStores."""

    resource: Resource = MEDIA_STORES

    def __init__(self, context: Context) -> None:
        self._context = context

    async def gather(self, obj: Manifest) -> ObservedMediaStore:
        """Collect the facts of a MediaStore. Raises ApiError."""
        context = self._context
        children, conflicts = await context.children(obj)
        namespace, name = obj["metadata"]["namespace"], claim_name(obj)
        claim = None
        if name is not None:
            claim = await context.lookup.find(PERSISTENT_VOLUME_CLAIMS, namespace, name)
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
        """Return the decision of the domain."""
        return decide(observed, now)
