"""Restream: its pusher and its stream. Targets and keys stay in the pod."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sluice_media.contract import PusherStatus
from sluice_operator.domain.claims import (
    holds,
    is_cleared,
    is_undecided,
    may_be_connected,
    may_run,
    stored_claim,
)
from sluice_operator.domain.decision import Decision
from sluice_operator.domain.names import KIND_LABEL, ROLE, UID_LABEL, child_name
from sluice_operator.domain.observed import ObservedRestream, Rival, Sample, pod_view
from sluice_operator.domain.owner import Owner
from sluice_operator.domain.restream import decide
from sluice_operator.domain.samples import fresh
from sluice_operator.domain.streams import is_there
from sluice_operator.engine.cache import Manifest, uid_of
from sluice_operator.engine.queue import Key
from sluice_operator.gather.common import POD_INDEX, Context
from sluice_operator.kube.resources import CONFIG_MAPS, RESTREAMS, Resource

__all__ = ["RestreamController"]

_GONE = Rival("", datetime.fromtimestamp(0, UTC), wants=False, busy=True)
"""A Restream that is deleted, and has a pod left."""


class RestreamController:
    resource: Resource = RESTREAMS

    def __init__(self, context: Context) -> None:
        self._context = context
        self._decided: dict[str, Manifest] = {}
        """By uid: the pusher's ConfigMap as it was decided, which is perhaps not written yet. Other
        workers decide about others meanwhile."""
        self._decisions = 0
        context.cache.subscribe(self._on_change)

    async def gather(self, obj: Manifest) -> ObservedRestream:
        context = self._context
        children, conflicts = await context.children(obj)
        stream = context.referred("LiveStream", obj, obj["spec"]["streamRef"]["name"])
        hub_token = await context.hub_token(stream)
        config_map = children.get(("ConfigMap", _config_name(obj)))
        while True:
            # What others say or get while we ask concerns us; nothing comes between the last look
            # and the decision.
            before = (context.targets.revision, self._decisions)
            sample = context.sample(obj, PusherStatus)
            rivals = await self._rivals(obj, config_map, sample, hub_token)
            if (context.targets.revision, self._decisions) == before:
                break
        return ObservedRestream(
            raw=obj,
            settings=context.settings,
            operator_uptime_seconds=context.uptime_seconds,
            children=children,
            conflicts=conflicts,
            stream=stream,
            hub_token=hub_token,
            pods=context.pods(obj),
            sample=sample,
            rivals=rivals,
        )

    def decide(self, observed: ObservedRestream, now: datetime) -> Decision:
        decision = decide(observed, now)
        for child in decision.children:
            if child.manifest["kind"] == "ConfigMap":
                self._decided[uid_of(observed.raw)] = child.manifest
                self._decisions += 1
        return decision

    def _on_change(self, former: Manifest | None, present: Manifest | None) -> None:
        if present is None and former is not None:
            self._decided.pop(uid_of(former), None)

    async def _rivals(
        self,
        obj: Manifest,
        config_map: Manifest | None,
        sample: Sample[PusherStatus] | None,
        hub_token: str | None,
    ) -> tuple[Rival, ...]:
        context, meta = self._context, obj["metadata"]
        found = {uid: context.cache.by_uid(uid) for uid in context.targets.others(uid_of(obj))}
        older = stored_claim(config_map).duplicate_of
        if older is not None:
            other = context.cache.find(Key("Restream", meta["namespace"], older))
            # Since this operator started nobody has heard its pusher: what was decided holds.
            if other is not None and context.sample(other, PusherStatus) is None:
                found[uid_of(other)] = other
        rivals = [await self._rival(uid, other) for uid, other in sorted(found.items())]
        told = sample.status if sample is not None else None
        if told is not None and is_undecided(config_map, told, hub_token):
            rivals += await self._holders(obj, told.target_digest, found)
            rivals += self._orphans(meta["namespace"])
        return tuple(rivals)

    async def _holders(
        self, obj: Manifest, digest: str, known: Mapping[str, object]
    ) -> list[Rival]:
        """Who may be connected to this target by what its configuration says or said, although
        its pusher names another one, or has not been heard since this operator started."""
        context, namespace = self._context, obj["metadata"]["namespace"]
        found = []
        for other in list(context.cache.of_kind("Restream")):
            meta = other["metadata"]
            if meta["namespace"] != namespace or uid_of(other) in (uid_of(obj), *known):
                continue
            config_maps = await self._config_maps(other)
            stream = context.referred("LiveStream", other, other["spec"]["streamRef"]["name"])
            token = await context.hub_token(stream)
            if token is not None and any(holds(found, digest, token) for found in config_maps):
                rival = await self._rival(uid_of(other), other)
                named = context.sample(other, PusherStatus) is not None
                found.append(replace(rival, wants=rival.wants and not named, busy=True))
        return found

    def _orphans(self, namespace: str) -> list[Rival]:
        """Pods whose Restream had gone when this operator started: they may be connected
        anywhere."""
        cache, targets = self._context.cache, self._context.targets
        for pod in cache.of_kind("Pod"):
            labels = pod["metadata"].get("labels") or {}
            uid = labels.get(UID_LABEL, "")
            is_pusher = labels.get(KIND_LABEL) == "Restream"
            if pod["metadata"]["namespace"] != namespace or not is_pusher:
                continue
            if cache.by_uid(uid) is None and uid not in targets and may_run(pod_view(pod)):
                return [_GONE]
        return []

    async def _rival(self, uid: str, obj: Manifest | None) -> Rival:
        context = self._context
        if obj is None:
            left = [pod_view(pod) for pod in context.cache.select(POD_INDEX, uid)]
            return replace(_GONE, busy=any(map(may_run, left)))
        owner = Owner.of(obj)
        stream = context.referred("LiveStream", obj, obj["spec"]["streamRef"]["name"])
        return Rival(
            name=owner.name,
            created_at=owner.created_at,
            wants=owner.deleted_at is None
            and bool(obj["spec"].get("active", True))
            and is_there(stream),
            busy=await self._is_busy(obj),
        )

    async def _is_busy(self, obj: Manifest) -> bool:
        """A pusher that answers is believed; of one that does not, its pod's end is waited for."""
        context = self._context
        pods, told = context.pods(obj), fresh(context.sample(obj, PusherStatus))
        config_maps = await self._config_maps(obj)
        cleared = any(map(is_cleared, config_maps))
        if told is not None and pods:
            return cleared or may_be_connected(next(iter(config_maps), None), told)
        wanted = "deletionTimestamp" not in obj["metadata"]
        return (wanted and cleared) or any(map(may_run, pods))

    async def _config_maps(self, obj: Manifest) -> Sequence[Manifest]:
        """What stands in the pusher's configuration, and what is being written there."""
        namespace = obj["metadata"]["namespace"]
        stored = await self._context.lookup.find(CONFIG_MAPS, namespace, _config_name(obj))
        return [found for found in (self._decided.get(uid_of(obj)), stored) if found is not None]


def _config_name(restream: Manifest) -> str:
    return child_name(restream["metadata"]["name"], ROLE["Restream"])
