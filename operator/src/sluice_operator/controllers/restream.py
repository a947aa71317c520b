"""Controller of Restream: gathers its pusher, its stream, and its rivals for the target.

The URI of a target and its key stay in the pod. The operator sees only a digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sluice_media.contract import PusherStatus
from sluice_operator.controllers.context import Context
from sluice_operator.controllers.holders import HolderIndex, OrphanPods
from sluice_operator.domain.decision import Decision
from sluice_operator.domain.names import ROLE, UID_LABEL, child_name
from sluice_operator.domain.observed import ObservedRestream, Rival, Sample
from sluice_operator.domain.owner import Owner
from sluice_operator.domain.pod_view import PodView, pod_view
from sluice_operator.domain.restream.clearance import (
    clearances,
    holds,
    is_cleared,
    is_undecided,
    may_be_connected,
    may_run,
    stored_clearance,
)
from sluice_operator.domain.restream.decide import decide
from sluice_operator.domain.samples import fresh
from sluice_operator.domain.streams import is_there
from sluice_operator.engine.cache import Manifest, uid_of
from sluice_operator.engine.queue import Key
from sluice_operator.kube.resources import CONFIG_MAPS, RESTREAMS, Resource
from sluice_operator.pods.endpoints import POD_INDEX

_GONE = Rival("", datetime.fromtimestamp(0, UTC), wants=False, busy=True)
"""A Restream that was deleted and still has a pod."""


class RestreamController:
    """Reconciliation of Restreams."""

    resource: Resource = RESTREAMS

    def __init__(self, context: Context) -> None:
        self._context = context
        self._decided: dict[str, Manifest] = {}
        """uid -> the last decided ConfigMap of the pusher, which may not be written yet. Other
        workers, which decide about other Restreams at the same time, need it."""
        self._holders = HolderIndex(context.cache)
        self._orphans = OrphanPods(context.cache)
        context.cache.subscribe(self._on_change)

    async def gather(self, obj: Manifest) -> ObservedRestream:
        """Collect the facts of a Restream. Raises ApiError."""
        context = self._context
        children, conflicts = await context.children(obj)
        stream = context.referred("LiveStream", obj, obj["spec"]["streamRef"]["name"])
        hub_token = await context.hub_token(stream)
        config_map = children.get(("ConfigMap", _config_name(obj)))
        while True:
            # The reads below take time. Repeat them if another Restream with this target changed
            # meanwhile. Nothing awaits between the last check and the decision.
            sample = context.sample(obj, PusherStatus)
            target = (obj["metadata"]["namespace"], _digest(sample))
            before = context.targets.revision(target)
            self._holders.note(obj, await self._config_maps(obj), hub_token, target[1])
            rivals = await self._rivals(obj, config_map, sample, hub_token)
            latest = context.sample(obj, PusherStatus)
            if context.targets.revision(target) == before and _digest(latest) == target[1]:
                break
        return ObservedRestream(
            raw=obj,
            settings=context.settings,
            # The holder of a target depends on the answers of all pushers.
            operator_uptime_seconds=context.uptime_seconds(obj, with_others=True),
            children=children,
            conflicts=conflicts,
            stream=stream,
            hub_token=hub_token,
            pods=context.pods(obj),
            sample=sample,
            rivals=rivals,
        )

    def decide(self, observed: ObservedRestream, now: datetime) -> Decision:
        """Return the decision of the domain; note the ConfigMap in it for other passes."""
        decision = decide(observed, now)
        for child in decision.children:
            if child.manifest["kind"] == "ConfigMap":
                self._note(observed, child.manifest)
        return decision

    def _note(self, observed: ObservedRestream, config_map: Manifest) -> None:
        """Store the decided ConfigMap before another worker decides."""
        obj, digest = observed.raw, _digest(observed.sample)
        former = self._decided.get(uid_of(obj))
        self._decided[uid_of(obj)] = config_map
        stored = observed.children.get(("ConfigMap", _config_name(obj)))
        config_maps = [found for found in (config_map, former, stored) if found is not None]
        held = self._holders.note(obj, config_maps, observed.hub_token, digest)
        if former != config_map:
            for target in held | {(obj["metadata"]["namespace"], digest)}:
                self._context.targets.touch(target)

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
        """Return the other Restreams that name the target, or may be connected to it."""
        context, meta = self._context, obj["metadata"]
        found = {uid: context.cache.by_uid(uid) for uid in context.targets.others(uid_of(obj))}
        older = stored_clearance(config_map).duplicate_of
        if older is not None:
            other = context.cache.find(Key("Restream", meta["namespace"], older))
            # The older Restream's pusher has not answered since this operator started, so it stays
            # a rival.
            if other is not None and context.sample(other, PusherStatus) is None:
                found[uid_of(other)] = other
        rivals = [await self._rival(uid, other) for uid, other in sorted(found.items())]
        status = sample.status if sample is not None else None
        if status is not None and is_undecided(config_map, status, hub_token):
            rivals += await self._possible_holders(obj, status.target_digest, found)
            rivals += self._orphans_without_target(meta["namespace"])
        return tuple(rivals)

    async def _possible_holders(
        self, obj: Manifest, digest: str, known: Mapping[str, object]
    ) -> list[Rival]:
        """Return the Restreams whose configuration clears this target or did clear it.

        Their pushers report another target, or have not answered since this operator started. A
        clearance that cannot be compared with the target may be for it."""
        context, namespace = self._context, obj["metadata"]["namespace"]
        found = []
        for uid in self._holders.holders((namespace, digest)):
            other = context.cache.by_uid(uid)
            if other is None or uid == uid_of(obj) or uid in known:
                continue
            config_maps = await self._config_maps(other)
            stream = context.referred("LiveStream", other, other["spec"]["streamRef"]["name"])
            token = await context.hub_token(stream)
            answered = context.sample(other, PusherStatus)
            # Another worker may have decided about this Restream during the reads above.
            decided = [self._decided[uid]] if uid in self._decided else []
            self._holders.note(other, [*decided, *config_maps], token, _digest(answered))
            if answered is None and not _is_readable(config_maps, stream, token):
                if any(map(self._may_run, context.pods(other))):
                    found.append(_possible_holder(other))
            elif token is not None and any(holds(found, digest, token) for found in config_maps):
                rival = await self._rival(uid_of(other), other)
                found.append(replace(rival, wants=rival.wants and answered is None, busy=True))
        return found

    def _orphans_without_target(self, namespace: str) -> list[Rival]:
        """Return a rival if a running pod's Restream was gone when this operator started."""
        for pod in self._orphans.of(namespace):
            uid = (pod["metadata"].get("labels") or {}).get(UID_LABEL, "")
            if uid not in self._context.targets and self._may_run(pod_view(pod)):
                return [_GONE]
        return []

    async def _rival(self, uid: str, obj: Manifest | None) -> Rival:
        context = self._context
        if obj is None:
            left = [pod_view(pod) for pod in context.cache.select(POD_INDEX, uid)]
            return replace(_GONE, busy=any(map(self._may_run, left)))
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
        """Return whether a Restream is connected or may be.

        The answer of the pusher decides. A pusher that does not answer may be connected until its
        pod has ended."""
        context = self._context
        pods, status = context.pods(obj), fresh(context.sample(obj, PusherStatus))
        config_maps = await self._config_maps(obj)
        cleared = any(map(is_cleared, config_maps))
        if status is not None and pods:
            return cleared or may_be_connected(next(iter(config_maps), None), status)
        wanted = "deletionTimestamp" not in obj["metadata"]
        return (wanted and cleared) or any(map(self._may_run, pods))

    def _may_run(self, pod: PodView) -> bool:
        return may_run(pod, self._context.clock.now())

    async def _config_maps(self, obj: Manifest) -> Sequence[Manifest]:
        """Return the decided and the stored ConfigMap of the pusher, if they exist."""
        namespace = obj["metadata"]["namespace"]
        stored = await self._context.lookup.find(CONFIG_MAPS, namespace, _config_name(obj))
        return [found for found in (self._decided.get(uid_of(obj)), stored) if found is not None]


def _is_readable(
    config_maps: Sequence[Manifest], stream: Manifest | None, token: str | None
) -> bool:
    """Return whether the clearances in these configurations can be compared with a target.

    They cannot when the hub's token is gone or is younger than they are: the LiveStream was
    deleted, or was created again."""
    if not any(map(clearances, config_maps)):
        return True
    if token is None or stream is None:
        return False
    written = [found["metadata"].get("creationTimestamp", "") for found in config_maps]
    return all(at >= stream["metadata"]["creationTimestamp"] for at in written if at)


def _possible_holder(restream: Manifest) -> Rival:
    owner = Owner.of(restream)
    return Rival(name=owner.name, created_at=owner.created_at, wants=False, busy=True)


def _digest(sample: Sample[PusherStatus] | None) -> str:
    """Return the digest that the pusher reports; empty: no target, or no answer yet."""
    return sample.status.target_digest if sample is not None else ""


def _config_name(restream: Manifest) -> str:
    return child_name(restream["metadata"]["name"], ROLE["Restream"])
