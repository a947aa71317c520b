"""Why a Service has no address, as its load balancer's events say it."""

from __future__ import annotations

from typing import Any

from sluice_operator.controllers.livestream import LiveStreamController
from sluice_operator.controllers.service_events import ServiceEvents, ServiceRef, last_event
from sluice_operator.kube.errors import ForbiddenError
from tests.support.controller_world import World, make_child, make_livestream

SRT = ServiceRef("system", "gateway-srt")


def event(name: str, reason: str, at: str, *, of: str = "gateway-srt", **more: Any) -> Any:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "system", "creationTimestamp": at},
        "involvedObject": {"kind": "Service", "name": of},
        "type": "Normal",
        "reason": reason,
        "message": f"words of {reason}",
        "lastTimestamp": at,
    } | more


def waiting_service(world: World, **load_balancer: Any) -> None:
    service = make_child("v1", "Service", SRT.name, None, spec={"type": "LoadBalancer"})
    service["metadata"]["namespace"] = SRT.namespace
    service["spec"]["ports"] = [{"name": "srt", "port": 9710}]
    service["status"] = {"loadBalancer": load_balancer}
    world.api.put(service)


async def gathered(world: World) -> str:
    events = ServiceEvents(world.api, world.clock)
    controller = LiveStreamController(world.context, None, None, gateway_srt=SRT, events=events)
    observed = await controller.gather(world.put(make_livestream()))
    assert observed.gateway_srt is not None
    assert observed.gateway_srt.name == "system/gateway-srt"
    return observed.gateway_srt.last_event


async def test_the_last_warning_of_a_service_that_waits_is_quoted() -> None:
    world = World()
    waiting_service(world)
    world.api.put(event("a", "SyncLoadBalancerFailed", "2026-03-01T11:00:00Z", type="Warning"))
    world.api.put(event("b", "EnsuringLoadBalancer", "2026-03-01T11:59:00Z"))
    world.api.put(event("c", "Other", "2026-03-01T11:59:30Z", of="gateway", type="Warning"))
    assert await gathered(world) == "SyncLoadBalancerFailed: words of SyncLoadBalancerFailed"


async def test_a_service_with_an_address_costs_no_look_at_events() -> None:
    world = World()
    waiting_service(world, ingress=[{"ip": "192.0.2.1"}])
    assert await gathered(world) == ""
    assert ("list", "Event", "") not in world.api.requests


async def test_events_that_cannot_be_read_keep_no_stream_back() -> None:
    world = World()
    waiting_service(world)
    refused = ForbiddenError("events is forbidden")
    world.api.fail = lambda verb, kind, name: refused if kind == "Event" else None
    assert await gathered(world) == ""


async def test_many_streams_cost_one_look() -> None:
    world = World()
    events = ServiceEvents(world.api, world.clock)
    world.api.put(event("a", "EnsuringLoadBalancer", "2026-03-01T11:00:00Z"))
    first = await events.last(SRT)
    world.api.put(event("b", "SyncLoadBalancerFailed", "2026-03-01T12:00:00Z", type="Warning"))
    assert await events.last(SRT) == first
    await world.clock.advance(10)
    assert (await events.last(SRT)).startswith("SyncLoadBalancerFailed")


def test_a_text_is_one_line_of_bounded_length() -> None:
    assert last_event([]) == ""
    long = event("a", "Failed", "2026-03-01T11:00:00Z", message="line\n" * 500)
    text = last_event([long])
    assert len(text) == 301
    assert text.startswith("Failed: line line")
