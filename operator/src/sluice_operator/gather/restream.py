"""Restream: its pusher and its stream. Targets and keys stay in the pod."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sluice_media.contract import PusherStatus, PushState
from sluice_operator.domain.claims import stored_claim
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
from sluice_operator.kube.resources import RESTREAMS, Resource

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
            rivals=self._rivals(obj, children),
        )

    def decide(self, observed: ObservedRestream, now: datetime) -> Decision:
        return decide(observed, now)

    def _rivals(
        self, obj: Manifest, children: Mapping[tuple[str, str], Manifest]
    ) -> tuple[Rival, ...]:
        context, meta = self._context, obj["metadata"]
        found = {uid: context.cache.by_uid(uid) for uid in context.targets.others(uid_of(obj))}
        config_map = children.get(("ConfigMap", child_name(meta["name"], ROLE["Restream"])))
        older = stored_claim(config_map).duplicate_of
        if older is not None:
            other = context.cache.find(Key("Restream", meta["namespace"], older))
            # Since this operator started nobody has heard its pusher: what was decided holds.
            if other is not None and context.sample(other, PusherStatus) is None:
                found[uid_of(other)] = other
        return tuple(self._rival(uid, other) for uid, other in sorted(found.items()))

    def _rival(self, uid: str, obj: Manifest | None) -> Rival:
        context = self._context
        if obj is None:
            pods = [pod_view(pod) for pod in context.cache.select(POD_INDEX, uid)]
            return Rival("", _EPOCH, wants=False, busy=_may_be_connected(pods, None))
        owner = Owner.of(obj)
        stream = context.referred("LiveStream", obj, obj["spec"]["streamRef"]["name"])
        return Rival(
            name=owner.name,
            created_at=owner.created_at,
            wants=owner.deleted_at is None
            and bool(obj["spec"].get("active", True))
            and is_there(stream),
            busy=_may_be_connected(context.pods(obj), fresh(context.sample(obj, PusherStatus))),
        )


def _may_be_connected(pods: Sequence[PodView], told: PusherStatus | None) -> bool:
    """A pusher that answers is believed; of one that does not, its pod's end is waited for."""
    if told is not None and pods:
        return told.connected or told.state is not PushState.IDLE
    return any(pod.ready or not pod.terminating for pod in pods)
