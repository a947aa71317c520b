"""Restream: its pusher and its stream. Targets and keys stay in the pod."""

from __future__ import annotations

from datetime import datetime

from sluice_media.contract import PusherStatus
from sluice_operator.domain.decision import Decision
from sluice_operator.domain.observed import ObservedRestream
from sluice_operator.domain.restream import decide
from sluice_operator.engine.cache import Manifest
from sluice_operator.gather.common import Context
from sluice_operator.kube.resources import RESTREAMS, Resource

__all__ = ["RestreamController"]


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
        )

    def decide(self, observed: ObservedRestream, now: datetime) -> Decision:
        return decide(observed, now)
