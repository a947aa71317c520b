"""What a pass costs does not depend on how many other objects there are."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from sluice_media.contract import IngestStatus, PushState, RecordableSession
from sluice_operator.controllers.livestream import LiveStreamController
from sluice_operator.controllers.recording import RecordingController
from sluice_operator.controllers.restream import RestreamController
from sluice_operator.domain.names import (
    AUTOMATIC_LABEL,
    FINALIZER,
    SESSION_ANNOTATION,
    STREAM_UID_ANNOTATION,
)
from sluice_operator.domain.times import exact_text
from sluice_operator.engine.cache import Cache, Manifest
from sluice_operator.engine.queue import Key
from sluice_operator.pods.store_client import StoreClient
from tests.support.controller_world import NOW, make, make_recording
from tests.unit.controllers.test_targets import DIGEST, Pushers, configured, hub_token


class CountingCache(Cache):
    """Counts the objects that are looked at."""

    looked = 0

    def by_uid(self, uid: str) -> Manifest | None:
        self.looked += 1
        return super().by_uid(uid)

    def find(self, key: Key) -> Manifest | None:
        self.looked += 1
        return super().find(key)

    def of_kind(self, kind: str) -> Iterator[Manifest]:
        for obj in super().of_kind(kind):
            self.looked += 1
            yield obj

    def select(self, index: str, value: Hashable, kind: str | None = None) -> list[Manifest]:
        found = super().select(index, value, kind)
        self.looked += len(found)
        return found


def ended(stream: Manifest, number: int) -> Manifest:
    """A Recording that autoRecord made, whose session is remembered. Every second one has files
    that go with it."""
    began = NOW - timedelta(days=1, minutes=number)
    deletes = number % 2 == 0
    recording = make_recording(
        f"mine-{number:05}", stream="mine", deletionPolicy="Delete" if deletes else "Retain"
    )
    recording["metadata"] |= {
        "labels": {AUTOMATIC_LABEL: "true"},
        "annotations": {
            SESSION_ANNOTATION: exact_text(began),
            STREAM_UID_ANNOTATION: stream["metadata"]["uid"],
        },
        "finalizers": [FINALIZER] if deletes else [],
    }
    recording["status"] = {
        "phase": "Completed",
        "endReason": "StreamEnded",
        "sessionStartedAt": exact_text(began),
        "storeGeneration": 1,
        "files": [{"index": 1, "state": "Ready"}],
    }
    return recording


class Crowd(Pushers):
    """One stream, one Recording and one Restream, with as many others of each beside them.

    ``history``: Recordings of the stream that are over."""

    def __init__(self, others: int, history: int = 0) -> None:
        super().__init__()
        self.cache.__class__ = CountingCache
        self.context.started_at = -3600.0
        hub_token(self)
        self.restreams = RestreamController(self.context)
        spec = {"source": {"push": {}}, "autoRecord": True}
        self.stream = self.put(make("LiveStream", "mine", **spec))
        self.recording = self.put(make_recording("mine", stream="mine"))
        self.store = self.put(make("MediaStore", "default"))
        for number in range(others):
            name = f"other-{number:04}"
            self.put(make("LiveStream", name, **spec))
            self.put(make_recording(name, stream=name))
            self.add(name)
            self.says(name, f"{number:016x}", PushState.LIVE)
        self.add("mine")
        configured(self, "mine")
        self.says("mine", DIGEST)
        held = [RecordableSession(started_at=NOW, on=True)]
        hub = IngestStatus(pod_uid="h", version=1, observed_at=NOW, recordable=held)
        self.samples.answered(self.stream["metadata"]["uid"], "h", "2026", hub)
        for number in range(history):
            self.put(ended(self.stream, number))

    async def warm(self) -> None:
        """Every Restream has been looked at once since the operator started."""
        for name in sorted(self.objects):
            await self.restreams.gather(self.objects[name])

    async def cost(self, what: str) -> tuple[int, int]:
        """(objects looked at, requests to the API server) of one pass."""
        cache: Any = self.cache
        cache.looked, before = 0, len(self.api.requests)
        if what == "LiveStream":
            controller = LiveStreamController(self.context, None, None)
            controller.decide(await controller.gather(self.stream), self.clock.now())
        elif what == "Recording":
            stores = StoreClient(
                self.context.cache,
                self.context.samples,
                self.context.clock,
                self.http,
                self.context.status_token,
            )
            recordings = RecordingController(self.context, stores)
            recordings.decide(await recordings.gather(self.recording), self.clock.now())
        else:
            restream = self.objects["mine"]
            self.restreams.decide(await self.restreams.gather(restream), self.clock.now())
        return cache.looked, len(self.api.requests) - before


@pytest.mark.parametrize("what", ["LiveStream", "Recording", "Restream"])
async def test_a_pass_costs_the_same_among_ten_and_among_a_thousand(what: str) -> None:
    costs = []
    for others in (10, 1_000):
        crowd = Crowd(others)
        await crowd.warm()
        await crowd.clock.advance(20)  # what was read is too old to be believed
        costs.append(await crowd.cost(what))
    few, many = costs
    assert few == many
    assert few[0] < 60
    assert few[1] < 12


@pytest.mark.parametrize("what", ["LiveStream", "Recording", "Restream"])
async def test_a_pass_costs_the_same_with_ten_and_with_a_thousand_recordings_that_are_over(
    what: str,
) -> None:
    """The passes of a stream with 10,000 of its own took 365 ms each."""
    costs = []
    for history in (10, 1_000):
        crowd = Crowd(10, history)
        await crowd.warm()
        await crowd.clock.advance(20)
        costs.append(await crowd.cost(what))
    few, many = costs
    assert few == many
    assert few[0] < 60


async def test_one_that_is_over_is_remembered_once_it_is_deleted() -> None:
    """Also one that its stream had no chance to remember while it ran."""
    crowd = Crowd(10, history=10)
    recording = ended(crowd.stream, 0)
    recording["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    crowd.put(recording)
    controller = LiveStreamController(crowd.context, None, None)
    decision = controller.decide(await controller.gather(crowd.stream), crowd.clock.now())
    assert decision.status["autoRecorded"] == [exact_text(NOW - timedelta(days=1))]


async def test_a_session_that_has_its_recording_gets_no_other_however_long_that_is_over() -> None:
    """Its stream does not know it any more, and its hub still offers it."""
    crowd = Crowd(10, history=20)
    held = [
        RecordableSession(started_at=NOW - timedelta(days=1, minutes=n), on=False)
        for n in (3, 4, 40)
    ]
    hub = IngestStatus(pod_uid="h", version=2, observed_at=NOW, recordable=held)
    crowd.samples.answered(crowd.stream["metadata"]["uid"], "h", "2026", hub)
    controller = LiveStreamController(crowd.context, None, None)
    decision = controller.decide(await controller.gather(crowd.stream), crowd.clock.now())
    made = [c.manifest for c in decision.children if c.manifest["kind"] == "Recording"]
    sessions = [m["metadata"]["annotations"][SESSION_ANNOTATION] for m in made]
    assert sessions == [exact_text(held[2].started_at)]


async def test_a_pass_is_not_begun_anew_because_others_are_decided_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Eight workers decided about other Restreams all the time: a pass began anew at each."""
    crowd = Crowd(10)
    await crowd.warm()
    another = await crowd.restreams.gather(crowd.objects["other-0003"])
    looks = 0
    look = crowd.restreams._rivals

    async def look_while_others_are_decided_about(*args: Any) -> Any:
        nonlocal looks
        looks += 1
        assert looks < 10, "it never comes to an end"
        crowd.restreams.decide(another, crowd.clock.now())
        crowd.says("other-0003", f"{looks:016x}", PushState.LIVE)
        return await look(*args)

    monkeypatch.setattr(crowd.restreams, "_rivals", look_while_others_are_decided_about)
    await crowd.restreams.gather(crowd.objects["mine"])
    assert looks == 1


async def test_one_that_gets_the_same_target_meanwhile_is_seen() -> None:
    """Between the look at the others and the decision nothing may come."""
    crowd = Crowd(10)
    await crowd.warm()
    await crowd.clock.advance(20)
    asked = 0

    def name_the_same(verb: str, kind: str, name: str) -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            crowd.says("other-0003", DIGEST, PushState.LIVE, connected=True)

    crowd.api.before = name_the_same
    observed = await crowd.restreams.gather(crowd.objects["mine"])
    assert asked >= 3
    assert [(r.name, r.busy) for r in observed.rivals] == [("other-0003", True)]
