"""What a decision is given: only what is ours, and never a key that it does not need."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from sluice_media.contract import (
    IngestStatus,
    RecordableSession,
    RecordedFile,
    RecorderPhase,
    RecorderStatus,
    StoredResult,
    StoreStatus,
)
from sluice_operator.domain.decision import StoreCall
from sluice_operator.domain.observed import PublicService, ServicePort
from sluice_operator.gather.common import secret_value
from sluice_operator.gather.livestream import LiveStreamController, public_service
from sluice_operator.gather.mediastore import MediaStoreController
from sluice_operator.gather.recording import RecordingController
from sluice_operator.gather.restream import RestreamController
from sluice_operator.gather.service_events import ServiceRef
from sluice_operator.gather.store import StoreClient
from sluice_operator.kube.errors import InvalidError, UnavailableError
from tests.unit.gather.world import (
    World,
    make,
    make_child,
    make_livestream,
    make_pod,
    make_recording,
    make_restream,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def make_token_secret(name: str, owner: dict[str, Any], token: str) -> dict[str, Any]:
    return make_child("v1", "Secret", name, owner, data={"token": b64(token)})


async def test_children_are_ours_or_in_the_way() -> None:
    world = World()
    stream = world.put(make_livestream())
    world.put(make_token_secret("show-ingest", stream, "key"))
    world.put(make_child("v1", "Secret", "show-hub", None, data={"token": b64("theirs")}))
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


async def test_somebody_elses_budget_is_in_the_way() -> None:
    world = World()
    stream = world.put(make_livestream())
    world.put(make_child("policy/v1", "PodDisruptionBudget", "show-ingest", None))
    status = IngestStatus(pod_uid="p", version=1, observed_at=NOW, on_air=True)
    world.samples.answered(stream["metadata"]["uid"], "p", "2026", status)
    (conflict,) = (await LiveStreamController(world.context, None, None).gather(stream)).conflicts
    assert (conflict.kind, conflict.name) == ("PodDisruptionBudget", "show-ingest")


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
    world.put(make_child("v1", "Secret", "show-hub", None, data={"token": b64("theirs")}))
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


class Recorded:
    """A Recording whose recorder has finished, and the store pod that knows more."""

    def __init__(self) -> None:
        self.world = World()
        self.store = self.world.put(make("MediaStore", "default"))
        self.world.put(make_token_secret("default-store", self.store, "store-token"))
        self.world.put(make_pod(self.store, "store-pod"))
        self.recording = self.world.put(make_recording())
        self.uid = self.recording["metadata"]["uid"]
        self.stores = StoreClient(self.world.context, self.world.http)
        self.controller = RecordingController(self.world.context, self.stores)
        result = StoredResult(uid=self.uid, state="Finalizing")
        self.path = f"/v1/recordings/{self.uid}"
        self.world.http.answers["GET", self.path] = (200, result.to_json().encode())
        self.world.http.answers["PUT", self.path] = (200, b"{}")

    def recorder_says(self, phase: RecorderPhase, index: int = 1, older_files: int = 0) -> None:
        file = RecordedFile(index=index, name="f", state="Recording", started_at=NOW)
        status = RecorderStatus(
            pod_uid="r",
            version=1,
            observed_at=NOW,
            phase=phase,
            files=[file],
            older_files=older_files,
        )
        self.world.samples.answered(self.uid, "r", "2026", status)

    def ended(
        self, *, state: str = "Ready", file: Any = None, damage: Any = None, **spec: Any
    ) -> dict[str, Any]:
        """The Recording, its files made."""
        files = [{"index": 1, "state": state, **(file or {})}]
        status = {
            "phase": "Completed",
            "files": files,
            "recordingStartedAt": "2026-03-01T12:00:00Z",
            "damage": damage,
        }
        spec = {**self.recording["spec"], **spec}
        return self.world.change(self.recording, spec=spec, status=status)

    def store_says(self, version: int) -> None:
        status = StoreStatus(
            pod_uid="s", version=version, observed_at=NOW, changed={self.uid: version}
        )
        self.world.samples.answered(self.store["metadata"]["uid"], "s", "2026", status)


@pytest.mark.parametrize("phase", [RecorderPhase.DONE, RecorderPhase.WAITING_FOR_RETURN])
async def test_the_store_is_asked_once_the_recorder_has_closed_a_file(
    phase: RecorderPhase,
) -> None:
    recorded = Recorded()
    recorded.recorder_says(phase)
    observed = await recorded.controller.gather(recorded.recording)
    assert observed.stored is not None
    assert observed.stored.state == "Finalizing"
    path = f"{recorded.path}?limit=50"
    assert recorded.world.http.asked == [("GET", "10.1.2.3", path, 9200, "store-token")]


async def test_the_store_is_left_alone_while_the_recorder_writes_and_after_the_end() -> None:
    recorded = Recorded()
    recorded.recorder_says(RecorderPhase.RECORDING)
    assert (await recorded.controller.gather(recorded.recording)).stored is None
    recorded.recorder_says(RecorderPhase.DONE)
    over = recorded.world.change(recorded.recording, status={"phase": "Completed"})
    assert (await recorded.controller.gather(over)).stored is None
    assert recorded.world.http.asked == []


async def test_the_store_is_asked_when_the_recorder_has_fallen_silent() -> None:
    recorded = Recorded()
    recorded.recorder_says(RecorderPhase.RECORDING)
    await recorded.world.clock.advance(11)
    begun = recorded.world.change(
        recorded.recording, status={"recordingStartedAt": "2026-03-01T12:00:00.000Z"}
    )
    assert (await recorded.controller.gather(begun)).stored is not None


@pytest.mark.parametrize(("reason", "asks"), [("FinalizeFailed", 1), ("NothingRecorded", 0)])
async def test_a_file_that_could_not_be_made_is_asked_for_again(reason: str, asks: int) -> None:
    """The store tries again; every other failure is the end."""
    recorded = Recorded()
    recorded.recorder_says(RecorderPhase.DONE)
    conditions = [{"type": "Succeeded", "status": "False", "reason": reason}]
    failed = recorded.world.change(
        recorded.recording, status={"phase": "Failed", "conditions": conditions}
    )
    await recorded.controller.gather(failed)
    assert len(recorded.world.http.asked) == asks


async def test_the_store_is_asked_again_when_it_says_that_something_changed() -> None:
    recorded = Recorded()
    recorded.recorder_says(RecorderPhase.DONE)
    recorded.store_says(1)
    for _ in range(3):
        await recorded.controller.gather(recorded.recording)
    assert len(recorded.world.http.asked) == 1
    recorded.store_says(2)
    await recorded.controller.gather(recorded.recording)
    assert len(recorded.world.http.asked) == 2


@pytest.mark.parametrize(
    ("ended", "asks"),
    [
        ({}, 0),
        ({"retention": {"seconds": 60}}, 1),
        ({"retention": {"keepOriginal": True}}, 1),
        ({"retention": {"seconds": 60}, "state": "Expired"}, 0),
        ({"file": {"expiresAt": "2026-03-02T12:00:00Z"}}, 1),
        ({"file": {"originUri": "s3://b/k.m3u8"}, "state": "Expired"}, 1),
        ({"damage": {"keptChunks": 1, "keptUntil": "2026-03-08T12:00:00Z"}}, 1),
    ],
)
async def test_what_retention_may_still_take_is_asked_for_after_the_end(
    ended: dict[str, Any], asks: int
) -> None:
    recorded = Recorded()
    await recorded.controller.gather(recorded.ended(**ended))
    assert len(recorded.world.http.asked) == asks


async def test_of_a_recording_that_is_deleted_the_store_is_always_asked() -> None:
    recorded = Recorded()
    leaving = {"metadata": {"deletionTimestamp": "2026-03-01T12:00:00Z"}}
    await recorded.controller.gather(recorded.world.change(recorded.recording, **leaving))
    assert len(recorded.world.http.asked) == 1


async def test_a_store_is_told_to_delete_and_then_asked_anew() -> None:
    recorded = Recorded()
    recorded.recorder_says(RecorderPhase.DONE)
    recorded.world.http.answers["DELETE", recorded.path] = (200, b"{}")
    await recorded.controller.gather(recorded.recording)
    body = {"uid": recorded.uid, "name": "rec", "prefix": "p"}
    for _ in range(2):
        await recorded.stores.call("ns", StoreCall("default", body, "deleted"))
        await recorded.stores.call("ns", StoreCall("default", body, "deleted", delete=True))
    await recorded.controller.gather(recorded.recording)
    assert [asked[0] for asked in recorded.world.http.asked] == ["GET", "PUT", "DELETE", "GET"]


async def test_a_store_that_must_wait_for_a_recorder_is_asked_again() -> None:
    recorded = Recorded()
    recorded.world.http.answers["DELETE", recorded.path] = (409, b"")
    call = StoreCall("default", {"uid": recorded.uid}, "deleted", delete=True)
    with pytest.raises(UnavailableError):
        await recorded.stores.call("ns", call)


async def test_a_deletion_is_followed_closely() -> None:
    recorded = Recorded()
    deleting = StoredResult(uid=recorded.uid, state="Deleting").to_json().encode()
    recorded.world.http.answers["GET", recorded.path] = (200, deleting)
    recorded.recorder_says(RecorderPhase.DONE)
    for _ in range(2):
        await recorded.controller.gather(recorded.recording)
        await recorded.world.clock.advance(2)
    assert len(recorded.world.http.asked) == 2


async def test_a_recording_knows_what_hub_and_store_say() -> None:
    recorded = Recorded()
    stream = recorded.world.put(make_livestream())
    recorded.store_says(3)
    hub = IngestStatus(pod_uid="h", version=1, observed_at=NOW, on_air=True)
    recorded.world.samples.answered(stream["metadata"]["uid"], "h", "2026", hub)
    observed = await recorded.controller.gather(recorded.recording)
    assert observed.stream_sample is not None
    assert observed.stream_sample.status.on_air
    assert observed.store_sample is not None
    assert observed.store_sample.status.version == 3


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


async def test_a_store_that_does_not_answer_is_no_answer() -> None:
    recorded = Recorded()
    recorded.recorder_says(RecorderPhase.DONE)
    recorded.world.http.answers["GET", recorded.path] = (503, b"")
    assert (await recorded.controller.gather(recorded.recording)).stored is None


async def test_a_store_is_told_once_and_again_when_there_is_news() -> None:
    recorded = Recorded()
    body = {"uid": recorded.uid, "name": "rec", "prefix": "p"}
    for _ in range(3):
        await recorded.stores.call("ns", StoreCall("default", body, "closed"))
    await recorded.stores.call("ns", StoreCall("default", {**body, "recorderGone": True}, "closed"))
    assert [asked[0] for asked in recorded.world.http.asked] == ["PUT", "PUT"]


@pytest.mark.parametrize(("code", "want"), [(503, UnavailableError), (422, InvalidError)])
async def test_a_store_that_refuses_is_an_error(code: int, want: type[Exception]) -> None:
    recorded = Recorded()
    recorded.world.http.answers["PUT", recorded.path] = (code, b"")
    with pytest.raises(want):
        await recorded.stores.call("ns", StoreCall("default", {"uid": recorded.uid}, "closed"))


async def test_a_store_without_a_pod_is_unavailable() -> None:
    world = World()
    world.put(make("MediaStore", "default"))
    with pytest.raises(UnavailableError, match="no running pod"):
        await StoreClient(world.context, world.http).call(
            "ns", StoreCall("default", {"uid": "u"}, "closed")
        )


@pytest.mark.parametrize("data", [None, {}, {"token": ""}, {"token": "%%"}, {"token": "/w=="}])
def test_a_secret_without_a_usable_value_has_none(data: dict[str, str] | None) -> None:
    assert secret_value({"data": data}, "token") is None


def test_no_pods_spec_is_kept() -> None:
    world = World()
    pod = world.put(make_pod(world.put(make_livestream())))
    cached = world.cache.by_uid(pod["metadata"]["uid"])
    assert cached is not None
    assert "spec" not in cached


class Rounds:
    """A polling that has asked everybody but these."""

    def __init__(self, *waiting: str) -> None:
        self.waiting = set(waiting)

    @property
    def first_round_is_over(self) -> bool:
        return not self.waiting

    def is_to_be_heard(self, owner_uid: str) -> bool:
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
