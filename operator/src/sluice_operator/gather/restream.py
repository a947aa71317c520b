"""Restream: its pusher and its stream. Targets and keys stay in the pod."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sluice_media.contract import PusherStatus
from sluice_operator.domain.claims import is_cleared, may_be_connected, stored_claim
from sluice_operator.domain.decision import Decision
from sluice_operator.domain.names import ROLE, child_name
from sluice_operator.domain.observed import ObservedRestream, PodView, Rival, pod_view
from sluice_operator.domain.owner import Owner
from sluice_operator.domain.restream import decide
from sluice_operator.domain.samples import fresh
from sluice_operator.domain.streams import is_there
from sluice_operator.engine.cache import Manifest, uid_of
from sluice_operator.engine.queue import Key
from sluice_operator.gather.common import POD_INDEX, Context
from sluice_operator.kube.resources import CONFIG_MAPS, RESTREAMS, Resource

__all__ = ["RestreamController"]

_EPOCH = datetime.fromtimestamp(0, UTC)


class RestreamController:
    resource: Resource = RESTREAMS

    def __init__(self, context: Context) -> None:
        self._context = context

    async def gather(self, obj: Manifest) -> ObservedRestream:
        context = self._context
        children, conflicts = await context.children(obj)
        stream = context.referred("LiveStream", obj, obj["spec"]["streamRef"]["name"])
        return ObservedRestream(
            raw=obj,
            settings=context.settings,
            operator_uptime_seconds=context.uptime_seconds,
            children=children,
            conflicts=conflicts,
            stream=stream,
            hub_token=await context.hub_token(stream),
            pods=context.pods(obj),
            sample=context.sample(obj, PusherStatus),
            rivals=await self._rivals(obj, children),
        )

    def decide(self, observed: ObservedRestream, now: datetime) -> Decision:
        return decide(observed, now)

    async def _rivals(
        self, obj: Manifest, children: Mapping[tuple[str, str], Manifest]
    ) -> tuple[Rival, ...]:
        context, meta = self._context, obj["metadata"]
        found = {uid: context.cache.by_uid(uid) for uid in context.targets.others(uid_of(obj))}
        config_map = children.get(("ConfigMap", _config_name(obj)))
        older = stored_claim(config_map).duplicate_of
        if older is not None:
            other = context.cache.find(Key("Restream", meta["namespace"], older))
            # Since this operator started nobody has heard its pusher: what was decided holds.
            if other is not None and context.sample(other, PusherStatus) is None:
                found[uid_of(other)] = other
        return tuple([await self._rival(uid, other) for uid, other in sorted(found.items())])

    async def _rival(self, uid: str, obj: Manifest | None) -> Rival:
        context = self._context
        if obj is None:
            left = [pod_view(pod) for pod in context.cache.select(POD_INDEX, uid)]
            return Rival("", _EPOCH, wants=False, busy=_may_run(left))
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
        config_map = await context.lookup.find(
            CONFIG_MAPS, obj["metadata"]["namespace"], _config_name(obj)
        )
        if told is not None and pods:
            return is_cleared(config_map) or may_be_connected(config_map, told)
        wanted = "deletionTimestamp" not in obj["metadata"]
        return (wanted and is_cleared(config_map)) or _may_run(pods)


def _config_name(restream: Manifest) -> str:
    return child_name(restream["metadata"]["name"], ROLE["Restream"])


def _may_run(pods: Sequence[PodView]) -> bool:
    return any(pod.ready or not pod.terminating for pod in pods)
