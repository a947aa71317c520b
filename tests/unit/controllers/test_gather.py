"""What a decision is given: only what is ours, and never a key that it does not need."""

from __future__ import annotations

from typing import Any

import pytest

from sluice_media.contract import (
    IngestStatus,
    RecordableSession,
)
from sluice_operator.controllers.context import secret_value
from sluice_operator.controllers.livestream import LiveStreamController, public_service
from sluice_operator.controllers.mediastore import MediaStoreController
from sluice_operator.controllers.restream import RestreamController
from sluice_operator.controllers.service_events import ServiceRef
from sluice_operator.domain.manifests.pod import users_keys
from sluice_operator.domain.observed import PublicService, ServicePort
from sluice_operator.domain.rollout import lacks_users_keys
from tests.support.controller_world import (
    NOW,
    World,
    make,
    make_child,
    make_livestream,
    make_pod,
    make_recording,
    make_restream,
    make_token_secret,
)


async def test_children_are_ours_or_in_the_way() -> None:
    world = World()
    stream = world.put(make_livestream())
    world.put(make_token_secret("show-ingest", stream, "key"))
    world.put(make_token_secret("show-hub", None, "theirs"))
    children, conflicts = await world.context.children(stream)
    assert list(children) == [("Secret", "show-ingest")]
    assert "data" not in children["Secret", "show-ingest"]
    (conflict,) = conflicts
    assert (conflict.name, conflict.held_by, conflict.leaving) == ("show-hub", "", False)


async def test_what_a_former_object_of_the_name_left_goes_by_itself() -> None:
    world = World()
    former = {"kind": "LiveStream", "metadata": {"name": "show", "uid": "former"}}
    stream = world.put(make_livestream())
    world.put(make_child("apps/v1", "Deployment", "show-ingest", former))
    _, (conflict,) = await world.context.children(stream)
    assert (conflict.held_by, conflict.leaving) == ("LiveStream/show", True)


async def test_a_livestream_is_gathered_with_all_that_belongs_to_it() -> None:
    world = World()
    stream = world.put(make_livestream())
    uid = stream["metadata"]["uid"]
    world.put(make_token_secret("show-ingest", stream, "the-key"))
    world.put(make_recording())
    world.put(make_recording("other", stream="another"))
    world.put(make_restream())
    world.put(make_pod(stream))
    status = IngestStatus(pod_uid="p", version=1, observed_at=NOW, on_air=True)
    world.samples.answered(uid, "p", "2026", status)
    await world.clock.advance(4)
    observed = await LiveStreamController(world.context, None, None).gather(stream)
    assert observed.ingest_secret is not None
    assert observed.ingest_secret.token == "the-key"
    assert [r["metadata"]["name"] for r in observed.recordings] == ["rec"]
    assert [r["metadata"]["name"] for r in observed.restreams] == ["out"]
    assert [pod.ip for pod in observed.pods] == ["10.1.2.3"]
    assert observed.sample is not None
    assert (observed.sample.status.on_air, observed.sample.age_seconds) == (True, 4)
    assert observed.operator_uptime_seconds == 4
    assert observed.gateway is None
    fresh = observed.fresh_token, observed.fresh_backup_token, observed.fresh_hub_token
    for secret in ("the-key", *fresh):
        assert secret not in repr(observed)


async def test_a_budget_is_looked_for_only_where_there_is_or_shall_be_one() -> None:
    """That there is none is never believed for long: idle streams would ask all the time."""
    world = World()
    stream = world.put(make_livestream())
    uid = stream["metadata"]["uid"]
    controller = LiveStreamController(world.context, None, None)
    asked = ("get", "PodDisruptionBudget", "show-ingest")
    await controller.gather(stream)
    assert asked not in world.api.requests
    on_air = IngestStatus(pod_uid="p", version=1, observed_at=NOW, on_air=True)
    world.samples.answered(uid, "p", "2026", on_air)
    assert not (await controller.gather(stream)).conflicts
    assert asked in world.api.requests
    world.put(make_child("policy/v1", "PodDisruptionBudget", "show-ingest", stream))
    idle = IngestStatus(pod_uid="p", version=2, observed_at=NOW)
    world.samples.answered(uid, "p", "2026", idle)
    observed = await controller.gather(stream)
    assert ("PodDisruptionBudget", "show-ingest") in observed.children


async def test_somebody_elses_budget_is_left_alone_and_the_stream_goes_on() -> None:
    world = World()
    stream = world.put(make_livestream())
    world.put(make_child("policy/v1", "PodDisruptionBudget", "show-ingest", None))
    pod_uid = world.put(make_pod(stream))["metadata"]["uid"]
    status = IngestStatus(pod_uid=pod_uid, version=1, observed_at=NOW, on_air=True)
    world.samples.answered(stream["metadata"]["uid"], pod_uid, "2026", status)
    controller = LiveStreamController(world.context, None, None)
    decision = controller.decide(await controller.gather(stream), world.clock.now())
    kinds = {child.manifest["kind"] for child in decision.children}
    assert "Deployment" in kinds
    assert "PodDisruptionBudget" not in kinds
    assert [c for c in decision.conditions if c.reason == "NameConflict"] == []
    (notice,) = decision.notices
    assert (notice.type, notice.reason) == ("Warning", "NotProtected")
    assert "show-ingest" in notice.text


async def test_a_new_hub_that_may_adopt_is_protected_only_while_a_session_is_on() -> None:
    world = World()
    idle = world.put(make_livestream())
    controller = LiveStreamController(world.context, None, None)

    async def kinds(stream: dict[str, Any]) -> set[str]:
        status = IngestStatus(pod_uid="p", version=1, observed_at=NOW, adopting=True)
        world.samples.answered(stream["metadata"]["uid"], "p", "2026", status)
        decision = controller.decide(await controller.gather(stream), world.clock.now())
        return {child.manifest["kind"] for child in decision.children}

    assert "PodDisruptionBudget" not in await kinds(idle)
    sessions = [{"startedAt": "2026-03-01T11:00:00.000000Z"}]
    on = world.change(idle, status={"sessions": sessions})
    assert "PodDisruptionBudget" in await kinds(on)


async def test_fresh_tokens_are_128_bit_and_never_twice_the_same() -> None:
    world = World()
    stream = world.put(make_livestream())
    controller = LiveStreamController(world.context, None, None)
    one, two = [await controller.gather(stream) for _ in range(2)]
    tokens = {
        token
        for observed in (one, two)
        for token in (
            observed.fresh_token,
            observed.fresh_backup_token,
            observed.fresh_hub_token,
        )
    }
    assert len(tokens) == 6
    assert all(len(bytes.fromhex(token)) == 16 for token in tokens)


async def test_the_services_that_publishers_dial_are_read_by_name() -> None:
    world = World()
    given = {
        "gateway": [{"name": "rtmp", "port": 1935, "nodePort": 31935}],
        "gateway-srt": [{"name": "srt", "port": 9710, "nodePort": 31710}],
        "whip": [{"name": "http", "port": 80}],
    }
    for name, ports in given.items():
        service = make_child("v1", "Service", name, None, spec={"type": "NodePort"})
        service["metadata"]["namespace"] = "system"
        service["spec"]["ports"] = ports
        world.api.put(service)
    stream = world.put(make_livestream())
    gateway, srt, whip = (ServiceRef("system", n) for n in ("gateway", "gateway-srt", "whip"))
    controller = LiveStreamController(world.context, gateway, whip, gateway_srt=srt)
    observed = await controller.gather(stream)
    given_ports = {
        "gateway": {"rtmp": ServicePort(1935, 31935)},
        "gateway-srt": {"srt": ServicePort(9710, 31710)},
        "whip": {"http": ServicePort(80)},
    }
    assert [observed.gateway, observed.gateway_srt, observed.whip] == [
        PublicService("NodePort", ports, name=f"system/{name}")
        for name, ports in given_ports.items()
    ]


async def test_a_service_that_is_not_there_is_no_error() -> None:
    world = World()
    stream = world.put(make_livestream())
    nowhere = ServiceRef("system", "gone")
    observed = await LiveStreamController(world.context, nowhere, nowhere).gather(stream)
    assert (observed.gateway, observed.whip) == (None, None)


@pytest.mark.parametrize(
    ("ingress", "want"),
    [([{"ip": "192.0.2.1"}], "192.0.2.1"), ([{"hostname": "a.example"}], "a.example"), ([], None)],
)
def test_an_address_comes_from_the_load_balancer(ingress: list[Any], want: str | None) -> None:
    service = {
        "metadata": {"namespace": "system", "name": "gateway"},
        "spec": {"type": "LoadBalancer", "ports": [{"name": "rtmp", "port": 1935}]},
        "status": {"loadBalancer": {"ingress": ingress}},
    }
    found = public_service(service)
    assert (found.load_balancer_host, found.ports) == (want, {"rtmp": ServicePort(1935)})


async def test_a_restream_gets_its_streams_hub_token_but_no_users_secret_for_it() -> None:
    world = World()
    stream, restream = world.put(make_livestream()), world.put(make_restream())
    world.put(make_token_secret("show-hub", stream, "hub"))
    controller = RestreamController(world.context)
    observed = await controller.gather(restream)
    assert observed.stream == stream
    assert observed.hub_token == "hub"
    assert "'hub'" not in repr(observed)
    world.api.drop("Secret", "show-hub")
    world.put(make_token_secret("show-hub", None, "theirs"))
    await world.clock.advance(20)
    assert (await controller.gather(restream)).hub_token is None


async def test_without_its_stream_a_restream_is_gathered_all_the_same() -> None:
    world = World()
    observed = await RestreamController(world.context).gather(world.put(make_restream()))
    assert (observed.stream, observed.hub_token) == (None, None)


async def test_a_key_that_a_user_edits_is_seen_at_the_next_look() -> None:
    """The ingest pod wakes us when the mounted key has changed; then it is read, not remembered."""
    world = World()
    stream = world.put(make_livestream())
    world.put(make_token_secret("show-ingest", stream, "old"))
    controller = LiveStreamController(world.context, None, None)
    await controller.gather(stream)
    edited = world.put(make_token_secret("show-ingest", stream, "theirs"))
    await world.clock.advance(1)
    secret = (await controller.gather(stream)).ingest_secret
    assert secret is not None
    assert (secret.token, secret.version) == ("theirs", edited["metadata"]["resourceVersion"])


async def test_a_media_store_knows_its_claim() -> None:
    world = World()
    spec = {"persistentVolumeClaim": {"claimName": "films"}}
    store = world.put(make("MediaStore", "default", **spec))
    world.api.put(make_child("v1", "PersistentVolumeClaim", "films", None))
    observed = await MediaStoreController(world.context).gather(store)
    assert observed.claim is not None


@pytest.mark.parametrize(
    ("auto_record", "want"),
    [(True, {"show-20260301-120000", "show-20260301-120000-2"}), (False, set())],
)
async def test_names_are_looked_for_where_a_recording_may_have_to_be_made(
    auto_record: bool, want: set[str]
) -> None:
    """Of the namespace's Recordings, whichever stream they are of: only names that it could get."""
    world = World()
    stream = world.put(make("LiveStream", "show", source={"push": {}}, autoRecord=auto_record))
    world.put(make_recording())
    world.put(make_recording("show-20260301-120000", stream="another"))
    world.put(make_recording("show-20260301-120000-2"))
    controller = LiveStreamController(world.context, None, None)
    assert (await controller.gather(stream)).recording_names == frozenset()
    sessions = [NOW, NOW.replace(microsecond=5)]
    held = [RecordableSession(started_at=moment, on=False) for moment in sessions]
    hub = IngestStatus(pod_uid="h", version=1, observed_at=NOW, recordable=held)
    world.samples.answered(stream["metadata"]["uid"], "h", "2026", hub)
    observed = await controller.gather(stream)
    assert observed.recording_names == want
    made = [
        c for c in controller.decide(observed, NOW).children if c.manifest["kind"] == "Recording"
    ]
    names = [c.manifest["metadata"]["name"] for c in made]
    assert names == ([f"show-20260301-120000-{n}" for n in (3, 4)] if auto_record else [])


async def test_a_media_store_in_a_bucket_has_no_claim() -> None:
    world = World()
    store = world.put(make("MediaStore", "default", s3={"bucket": "tapes"}))
    assert (await MediaStoreController(world.context).gather(store)).claim is None
    assert [request for request in world.api.requests if "Claim" in request[1]] == []


@pytest.mark.parametrize("data", [None, {}, {"token": ""}, {"token": "%%"}, {"token": "/w=="}])
def test_a_secret_without_a_usable_value_has_none(data: dict[str, str] | None) -> None:
    assert secret_value({"data": data}, "token") is None


async def test_of_a_pods_spec_only_the_keys_that_it_mounts_are_kept() -> None:
    """By them a decision knows whether the pod has the keys that its configuration names."""
    world = World()
    key = {"uriSecretRef": {"name": "sat", "key": "uri"}}
    stream = world.put(make("LiveStream", "show", source={"pull": {"uris": [key]}}))
    pod = world.put(make_pod(stream))
    cached = world.cache.by_uid(pod["metadata"]["uid"])
    assert cached is not None
    assert "spec" not in cached
    controller = LiveStreamController(world.context, None, None)
    decision = controller.decide(await controller.gather(stream), world.clock.now())
    (made,) = [c.manifest for c in decision.children if c.manifest["kind"] == "Deployment"]
    template = made["spec"]["template"]
    world.change(pod, spec=template["spec"])
    (view,) = world.context.pods(stream)
    assert users_keys(view.volumes) == {("pull/0", "sat", "uri")}
    assert not lacks_users_keys([view], template)
    cached = world.cache.by_uid(pod["metadata"]["uid"])
    assert cached is not None
    assert set(cached["spec"]) == {"volumes"}
    assert all(volume["name"].startswith("key-") for volume in view.volumes)


class Rounds:
    """A polling that has asked everybody but these."""

    def __init__(self, *waiting: str) -> None:
        self.waiting = set(waiting)

    @property
    def first_round_is_over(self) -> bool:
        return not self.waiting

    def awaits_first_poll(self, owner_uid: str) -> bool:
        return owner_uid in self.waiting


async def test_what_is_stored_is_believed_until_the_pod_was_asked() -> None:
    """A minute after the operator's start the pod has not had its turn: Live stays as it was."""
    world = World()
    live = {"type": "Live", "status": "True", "reason": "OnAir", "message": "On air."}
    stored = {"live": True, "conditions": [live]}
    stream = world.change(world.put(make_livestream()), status=stored)
    world.put(make_pod(stream))
    rounds = world.context.rounds = Rounds(stream["metadata"]["uid"])
    controller = LiveStreamController(world.context, None, None)
    await world.clock.advance(60)

    async def word() -> str:
        decision = controller.decide(await controller.gather(stream), world.clock.now())
        return next(c.reason for c in decision.conditions if c.type == "Live")

    assert await word() == "OnAir"
    rounds.waiting.clear()
    assert await word() == "Stale"


async def test_a_target_is_given_away_only_when_all_pushers_were_asked() -> None:
    world = World()
    restream = world.put(make_restream())
    rounds = world.context.rounds = Rounds("somebody-else")
    controller = RestreamController(world.context)
    await world.clock.advance(60)
    assert (await controller.gather(restream)).operator_uptime_seconds == 0
    rounds.waiting.clear()
    assert (await controller.gather(restream)).operator_uptime_seconds == 60
