"""The facts about playback: read only for streams that are played, and each pod for itself."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from sluice_media.contract import IngestStatus, PlayStatus
from sluice_operator.controllers.livestream import LiveStreamController
from sluice_operator.controllers.service_events import ServiceRef
from sluice_operator.domain.manifests.secret import edge_token
from sluice_operator.domain.names import ROLE_LABEL
from sluice_operator.domain.observed import PublicService, ServicePort
from sluice_operator.engine.cache import Manifest
from tests.support.controller_world import NOW, World, b64, make, make_child, make_pod

EDGE = ServiceRef("system", "edge")


def make_played(**playback: Any) -> dict[str, Any]:
    return make("LiveStream", "show", source={"push": {}}, playback=playback)


def make_play_pod(stream: Manifest, name: str) -> dict[str, Any]:
    pod = make_pod(stream, name)
    pod["metadata"]["labels"][ROLE_LABEL] = "play"
    return pod


def status_of(pod: Manifest, **facts: Any) -> PlayStatus:
    return PlayStatus(pod_uid=pod["metadata"]["uid"], version=1, observed_at=NOW, **facts)


async def test_a_stream_without_playback_costs_no_request_more() -> None:
    costs = []
    for stream in (make("LiveStream", "show", source={"push": {}}), make_played()):
        world = World()
        controller = LiveStreamController(world.context, None, None, edge=EDGE)
        observed = await controller.gather(world.put(stream))
        names = {name for _, _, name in world.api.requests}
        costs.append((observed.playback is not None, {n for n in names if n != "show"}))
    (unplayed, without), (played, with_it) = costs
    assert (unplayed, played) == (False, True)
    assert without == {"show-ingest", "show-hub"}
    assert with_it - without == {"show-play", "show-playback", "show-edge", "edge"}


async def test_the_pods_are_told_apart_by_their_role_and_have_an_answer_each() -> None:
    world = World()
    stream = world.put(make_played(replicas=2))
    uid = stream["metadata"]["uid"]
    ingest = world.put(make_pod(stream, "ingest"))
    pods = [world.put(make_play_pod(stream, name)) for name in ("play-1", "play-2")]
    hub = IngestStatus(pod_uid=ingest["metadata"]["uid"], version=1, observed_at=NOW)
    world.samples.answered(uid, hub.pod_uid, "2026", hub)
    for number, pod in enumerate(pods):
        answer = status_of(pod, window_seconds=number)
        world.samples.answered(uid, pod["metadata"]["uid"], "2026", answer)
    await world.clock.advance(3)
    observed = await LiveStreamController(world.context, None, None).gather(stream)
    assert [pod.name for pod in observed.pods] == ["ingest"]
    assert observed.sample is not None
    assert observed.sample.status == hub
    assert observed.playback is not None
    assert [pod.name for pod in observed.playback.pods] == ["play-1", "play-2"]
    answers = [(s.status.window_seconds, s.age_seconds) for s in observed.playback.samples]
    assert answers == [(0, 3), (1, 3)]


async def test_the_answer_of_a_pod_that_is_gone_does_not_count() -> None:
    world = World()
    stream = world.put(make_played())
    uid = stream["metadata"]["uid"]
    pod = world.put(make_play_pod(stream, "play-1"))
    answer = status_of(pod, is_serving=True)
    world.samples.answered(uid, answer.pod_uid, "2026", answer)
    world.cache.remove(answer.pod_uid)
    observed = await LiveStreamController(world.context, None, None).gather(stream)
    assert observed.playback is not None
    assert observed.playback.samples == ()
    assert world.samples.each(uid, PlayStatus) == [], "and is forgotten"


async def test_the_signing_keys_are_read_live_and_never_shown() -> None:
    world = World()
    stream = world.put(make_played())
    keys = {"key": b64("old\n"), "previousKey": b64("older")}
    world.put(make_child("v1", "Secret", "show-playback", stream, data=keys))
    controller = LiveStreamController(world.context, None, None)
    await controller.gather(stream)
    edited = world.put(
        make_child("v1", "Secret", "show-playback", stream, data={"key": b64("theirs")})
    )
    await world.clock.advance(1)
    playback = (await controller.gather(stream)).playback
    assert playback is not None
    assert playback.secret is not None
    assert (playback.secret.key, playback.secret.previous_key) == ("theirs", None)
    assert playback.secret.version == edited["metadata"]["resourceVersion"]
    assert "theirs" not in repr(playback)
    assert playback.fresh_key not in repr(playback)
    assert len(bytes.fromhex(playback.fresh_key)) == 32


async def test_the_edge_is_read_by_name_and_its_token_is_the_streams_own() -> None:
    world = World()
    service = make_child("v1", "Service", "edge", None, spec={"type": "NodePort"})
    service["metadata"]["namespace"] = "system"
    service["spec"]["ports"] = [{"name": "http", "port": 80, "nodePort": 30080}]
    world.api.put(service)
    world.context.edge_key = SecretStr("the-key")
    controller = LiveStreamController(world.context, None, None, edge=EDGE)
    playback = (await controller.gather(world.put(make_played()))).playback
    assert playback is not None
    assert playback.edge == PublicService(
        "NodePort", {"http": ServicePort(80, 30080)}, name="system/edge"
    )
    assert playback.edge_token == edge_token("the-key", "ns", "show")
    assert playback.edge_token not in repr(playback)


async def test_when_playback_was_removed_its_children_are_found_by_their_deployment() -> None:
    world = World()
    stream = world.put(make("LiveStream", "show", source={"push": {}}))
    for kind, name in (("Secret", "show-playback"), ("Secret", "show-edge")):
        world.put(make_child("v1", kind, name, stream))
    deployment = world.put(make_child("apps/v1", "Deployment", "show-play", stream))
    world.put(make_child("policy/v1", "PodDisruptionBudget", "show-play", stream))
    controller = LiveStreamController(world.context, None, None)
    decision = controller.decide(await controller.gather(stream), world.clock.now())
    assert [(d.kind, d.name) for d in decision.deletions] == [
        ("PodDisruptionBudget", "show-play"),
        ("Secret", "show-edge"),
        ("Secret", "show-playback"),
        ("Deployment", "show-play"),
    ]
    world.api.drop("Deployment", "show-play")
    world.cache.remove(deployment["metadata"]["uid"])
    budget = world.api.objects["PodDisruptionBudget", "ns", "show-play"]
    world.cache.remove(budget["metadata"]["uid"])
    before = len(world.api.requests)
    await world.clock.advance(20)
    await controller.gather(stream)
    asked = {name for _, _, name in world.api.requests[before:]}
    assert asked == {"show-ingest", "show-hub"}, "a stream without playback again"
