"""Which change makes which object be looked at again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sluice_media.contract import IngestStatus, PlayStatus, RecorderStatus, StoreStatus
from sluice_operator.engine.queue import Key, Lane
from tests.support.controller_world import (
    NOW,
    World,
    make,
    make_child,
    make_livestream,
    make_pod,
    make_recording,
    make_restream,
)

SHOW = Key("LiveStream", "ns", "show")
REC = Key("Recording", "ns", "rec")
OUT = Key("Restream", "ns", "out")
STORE = Key("MediaStore", "ns", "default")


async def test_a_stream_that_arrives_wakes_those_who_wait_for_it() -> None:
    world = World()
    world.put(make_recording())
    world.put(make_restream())
    await world.woken()
    world.put(make_livestream())
    assert await world.woken() == {SHOW, REC, OUT}


async def test_a_stream_that_goes_wakes_them_too() -> None:
    world = World()
    stream = world.put(make_livestream())
    world.put(make_recording())
    await world.woken()
    world.cache.remove(stream["metadata"]["uid"])
    assert await world.woken() == {SHOW, REC}


async def test_other_namespaces_and_other_streams_sleep_on() -> None:
    world = World()
    world.put(make_recording(stream="another"))
    await world.woken()
    world.put(make_livestream())
    assert await world.woken() == {SHOW}


async def test_a_stream_that_goes_on_air_wakes_its_recordings() -> None:
    world = World()
    stream = world.put(make_livestream())
    world.put(make_recording())
    await world.woken()
    live = [{"type": "Live", "status": "True", "reason": "OnAir"}]
    world.change(stream, status={"conditions": live})
    assert await world.woken() == {REC}


async def test_numbers_of_a_stream_wake_nobody() -> None:
    world = World()
    stream = world.put(make_livestream())
    world.put(make_recording())
    await world.woken()
    world.change(stream, status={"recordingDuration": 12.0})
    assert await world.woken() == set()


async def test_numbers_of_a_recording_wake_its_stream() -> None:
    """The stream shows the duration of its recording."""
    world = World()
    world.put(make_livestream())
    recording = world.put(make_recording())
    await world.woken()
    world.change(recording, status={"recordingDuration": 12.0})
    assert await world.woken() == {SHOW}


async def test_our_own_status_write_does_not_wake_the_object_itself() -> None:
    world = World()
    stream = world.put(make_livestream())
    await world.woken()
    world.change(stream, status={"live": True})
    assert await world.woken() == set()


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"generation": 2}},
        {"metadata": {"annotations": {"sluice.video/rotate-key": "1"}}},
        {"metadata": {"deletionTimestamp": "2026-03-01T12:00:00Z"}},
    ],
)
async def test_what_a_user_changes_wakes_the_object(change: dict[str, Any]) -> None:
    world = World()
    stream = world.put(make_livestream())
    await world.woken()
    world.change(stream, **change)
    assert await world.woken() == {SHOW}


async def test_a_store_wakes_its_recordings_also_those_that_name_none() -> None:
    world = World()
    world.put(make_recording("implied"))
    world.put(make_recording("named", storeRef={"name": "default"}))
    world.put(make_recording("elsewhere", storeRef={"name": "other"}))
    await world.woken()
    world.put(make("MediaStore", "default"))
    assert await world.woken() == {
        STORE,
        Key("Recording", "ns", "implied"),
        Key("Recording", "ns", "named"),
    }


def make_ended(name: str, **status: Any) -> dict[str, Any]:
    """A Recording that is over, its store told of its end."""
    recording = make_recording(name)
    files = [{"index": 1, "state": "Ready"}]
    over = {"phase": "Completed", "endReason": "StreamEnded", "storeGeneration": 1}
    recording["status"] = {**over, "files": files, **status}
    return recording


async def test_a_store_that_comes_and_goes_wakes_no_history() -> None:
    """Each was looked at, with three requests to the API server, before what somebody changed."""
    world = World()
    store = world.put(make("MediaStore", "default"))
    world.put(make_livestream())
    for number in range(50):
        world.put(make_ended(f"old-{number}"))
    world.put(make_recording())
    deleted = make_ended("deleted")
    deleted["metadata"] |= {"deletionTimestamp": "2026-03-01T12:00:00Z", "finalizers": ["x"]}
    world.put(deleted)
    world.put(make_ended("untold", storeGeneration=0))
    for phase, reason in (("Failed", "StreamNotLive"), ("Discarded", "TooShort")):
        nothing = make_ended(phase.lower(), phase=phase, endReason=reason)
        del nothing["status"]["files"], nothing["status"]["storeGeneration"]
        world.put(nothing)
    restored = make_ended("restored", endReason="Restored")
    restored["spec"]["retention"] = {"originalSeconds": 604_800}
    del restored["status"]["storeGeneration"]
    world.put(restored)
    await world.woken()
    gone = [{"type": "Ready", "status": "Unknown", "reason": "NotAnswering"}]
    world.change(store, status={"conditions": gone})
    concerned = {Key("Recording", "ns", name) for name in ("rec", "deleted", "untold")}
    assert await world.woken() == concerned
    world.cache.remove(store["metadata"]["uid"])
    assert await world.woken() == {STORE, *concerned}


async def test_only_who_waits_to_begin_goes_ahead_when_a_store_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A recorder waits for its store. What has begun, or is over, goes on without."""
    world = World()
    world.put(make_ended("untold", storeGeneration=0))
    begun = make_recording("begun")
    begun["status"] = {"phase": "Recording", "recordingStartedAt": "2026-03-01T12:00:00Z"}
    world.put(begun)
    ended = make_recording("ended")
    ended["status"] = {"phase": "Finalizing", "endReason": "StreamEnded"}
    world.put(ended)
    world.put(make_recording("waits"))
    await world.woken()
    lanes: dict[Key, Lane] = {}
    monkeypatch.setattr(world.queue, "add", lambda key, lane=Lane.CHANGE: lanes.update({key: lane}))
    world.put(make("MediaStore", "default"))
    late = {Key("Recording", "ns", name): Lane.TICK for name in ("untold", "begun", "ended")}
    assert lanes == {STORE: Lane.CHANGE, Key("Recording", "ns", "waits"): Lane.CHANGE, **late}


async def test_a_stream_that_goes_on_air_wakes_no_history() -> None:
    world = World()
    stream = world.put(make_livestream())
    world.put(make_ended("old"))
    held = make_ended("held")
    held["metadata"]["finalizers"] = ["sluice.video/recording"]
    world.put(held)
    world.put(make_recording())
    world.put(make_restream())
    await world.woken()
    live = [{"type": "Live", "status": "True", "reason": "OnAir"}]
    world.change(stream, status={"conditions": live})
    assert await world.woken() == {REC, OUT, Key("Recording", "ns", "held")}


async def test_what_a_store_has_done_wakes_just_that_recording() -> None:
    world = World()
    store = world.put(make("MediaStore", "default"))
    one, two = world.put(make_recording("one")), world.put(make_recording("two"))
    await world.woken()
    uids = [r["metadata"]["uid"] for r in (one, two)]
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    before = StoreStatus(
        pod_uid="p", version=1, observed_at=moment, changed={uids[0]: 1, uids[1]: 1}
    )
    after = before.model_copy(update={"changed": {uids[0]: 1, uids[1]: 2}})
    assert store
    world.wakeups.on_answer(STORE, before, after)
    assert await world.woken() == {STORE, Key("Recording", "ns", "two")}


async def test_a_pods_answer_wakes_its_owner() -> None:
    world = World()
    status = IngestStatus(pod_uid="p", version=1, observed_at=datetime(2026, 3, 1, tzinfo=UTC))
    world.wakeups.on_answer(SHOW, None, status)
    assert await world.woken() == {SHOW}


@pytest.mark.parametrize(
    ("seconds", "woken"), [(29, set()), (30, {SHOW}), (-3600, {SHOW}), (3600, {SHOW})]
)
async def test_an_answer_without_news_wakes_its_stream_when_the_age_is_due(
    seconds: float, woken: set[Key]
) -> None:
    world = World()
    stream = world.put(make_livestream())
    world.change(stream, status={"live": True, "observedAt": "2026-03-01T12:00:00.000Z"})
    await world.woken()
    answer = IngestStatus(
        pod_uid="p", version=1, observed_at=NOW + timedelta(seconds=seconds), on_air=True
    )
    world.wakeups.on_answer(SHOW, answer, answer)
    assert await world.woken() == woken


async def test_the_next_pods_first_answer_is_news_whatever_its_version() -> None:
    world = World()
    world.put(make_livestream())
    await world.woken()
    former = IngestStatus(pod_uid="p", version=1, observed_at=NOW)
    world.wakeups.on_answer(SHOW, former, former.model_copy(update={"pod_uid": "q"}))
    assert await world.woken() == {SHOW}


async def test_numbers_that_have_moved_on_wait_behind_what_has_changed() -> None:
    world = World()
    ticked = RecorderStatus(pod_uid="r", version=1, observed_at=NOW)
    world.wakeups.on_answer(REC, ticked, ticked)
    news = IngestStatus(pod_uid="p", version=1, observed_at=NOW)
    world.wakeups.on_answer(SHOW, None, news)
    assert [await world.queue.get() for _ in range(2)] == [SHOW, REC]


async def test_children_and_pods_wake_their_owner() -> None:
    world = World()
    stream = world.put(make_livestream())
    await world.woken()
    world.put(make_child("apps/v1", "Deployment", "show-ingest", stream))
    assert await world.woken() == {SHOW}
    pod = world.put(make_pod(stream))
    assert await world.woken() == {SHOW}
    world.cache.remove(pod["metadata"]["uid"])
    assert await world.woken() == {SHOW}


async def test_objects_of_others_wake_nobody() -> None:
    world = World()
    world.put(make_child("apps/v1", "Deployment", "theirs", None))
    foreign = make_child("apps/v1", "Deployment", "theirs-too", None)
    reference = {"kind": "Fancy", "name": "f", "uid": "f", "controller": True}
    world.put({**foreign, "metadata": {**foreign["metadata"], "ownerReferences": [reference]}})
    assert await world.woken() == set()


async def test_after_a_start_everything_is_looked_at() -> None:
    world = World()
    world.put(make_livestream())
    world.put(make_recording())
    await world.woken()
    world.wakeups.enqueue_all()
    assert await world.woken() == {SHOW, REC}


@pytest.mark.parametrize(
    ("window", "serving", "want"),
    [(103.0, True, set()), (110.0, True, {SHOW}), (300.0, False, set())],
)
async def test_an_answer_of_a_play_pod_without_news_counts_when_the_window_has_changed(
    window: float, serving: bool, want: set[Key]
) -> None:
    world = World()
    stream = make("LiveStream", "show", source={"push": {}}, playback={})
    stream["status"] = {"playback": {"windowSeconds": 100.0}}
    world.put(stream)
    await world.woken()
    former = PlayStatus(pod_uid="p", version=7, observed_at=NOW)
    news = PlayStatus(
        pod_uid="p", version=7, observed_at=NOW, is_serving=serving, window_seconds=window
    )
    world.wakeups.on_answer(SHOW, former, news)
    assert await world.woken() == want
    world.wakeups.on_answer(SHOW, former, news.model_copy(update={"version": 8}))
    assert await world.woken() == {SHOW}


async def test_the_stream_is_woken_by_its_play_pods() -> None:
    world = World()
    stream = world.put(make("LiveStream", "show", source={"push": {}}, playback={}))
    await world.woken()
    pod = make_pod(stream, "show-play-1")
    pod["metadata"]["labels"]["sluice.video/role"] = "play"
    world.put(pod)
    assert await world.woken() == {SHOW}
