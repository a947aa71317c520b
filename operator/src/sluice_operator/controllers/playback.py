"""Facts about a LiveStream's playback: its Secret, its play pods, and the edge.

A stream without playback costs no request: its further children are looked up only while playback
is in the spec, or while its Deployment still exists.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from sluice_media.contract import PlayStatus
from sluice_operator.controllers.context import Context, secret_value
from sluice_operator.controllers.service_events import ServiceRef
from sluice_operator.domain.manifests.secret import PREVIOUS_SIGNING_KEY, SIGNING_KEY, edge_token
from sluice_operator.domain.names import (
    PLAY_CHILDREN,
    PLAY_ROLE,
    PLAYBACK_SECRET_SUFFIX,
    ROTATED_ANNOTATION,
    child_name,
)
from sluice_operator.domain.observed import ObservedPlayback, PlaybackSecret, PublicService
from sluice_operator.domain.protection import BUDGET
from sluice_operator.engine.cache import Manifest
from sluice_operator.engine.queue import Key
from sluice_operator.kube.resources import SECRETS

_SECRET_MAX_AGE_SECONDS = 1.0
"""Age up to which a remembered Secret with signing keys is used, because users may edit it."""


class PlaybackGatherer:
    """Gatherer of the facts about playback. ``service`` reads the Service of the edge."""

    def __init__(
        self,
        context: Context,
        edge: ServiceRef | None,
        service: Callable[[ServiceRef | None], Awaitable[PublicService | None]],
    ) -> None:
        self._context = context
        self._edge = edge
        self._service = service

    def children(self, obj: Manifest) -> tuple[tuple[str, str, str], ...]:
        """Return the further children that exist or shall exist, in the format of CHILDREN."""
        wanted = _spec(obj)
        found = PLAY_CHILDREN if wanted is not None or self._exists(obj, "Deployment") else ()
        api_version, kind = BUDGET
        several = wanted is not None and wanted.get("replicas", 1) > 1
        if several or self._exists(obj, kind):
            found = (*found, (api_version, kind, PLAY_ROLE))
        return found

    async def gather(self, obj: Manifest) -> ObservedPlayback | None:
        """Collect the facts; None without playback. Raises ApiError."""
        if _spec(obj) is None:
            return None
        context, meta = self._context, obj["metadata"]
        key = context.edge_key
        pods = context.pods(obj, PLAY_ROLE)
        known = {pod.uid for pod in pods}
        samples = context.each_sample(obj, PlayStatus)
        return ObservedPlayback(
            fresh_key=secrets.token_hex(32),
            secret=await self._secret(obj),
            edge=await self._service(self._edge),
            edge_token=edge_token(key.get_secret_value(), meta["namespace"], meta["name"])
            if key is not None
            else None,
            pods=pods,
            samples=tuple(sample for sample in samples if sample.status.pod_uid in known),
        )

    def _exists(self, obj: Manifest, kind: str) -> bool:
        meta = obj["metadata"]
        key = Key(kind, meta["namespace"], child_name(meta["name"], PLAY_ROLE))
        return self._context.cache.find(key) is not None

    async def _secret(self, obj: Manifest) -> PlaybackSecret | None:
        meta = obj["metadata"]
        name = child_name(meta["name"], PLAYBACK_SECRET_SUFFIX)
        secret = await self._context.lookup.find(
            SECRETS, meta["namespace"], name, max_age_seconds=_SECRET_MAX_AGE_SECONDS
        )
        if secret is None:
            return None
        annotations = secret["metadata"].get("annotations") or {}
        return PlaybackSecret(
            key=secret_value(secret, SIGNING_KEY),
            previous_key=secret_value(secret, PREVIOUS_SIGNING_KEY),
            rotation=annotations.get(ROTATED_ANNOTATION),
            version=secret["metadata"]["resourceVersion"],
        )


def _spec(obj: Manifest) -> dict[str, Any] | None:
    found: dict[str, Any] | None = obj["spec"].get("playback")
    return found
