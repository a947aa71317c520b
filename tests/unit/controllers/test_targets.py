"""Restreams with the same target know of each other, wake each other, and cost no squares."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sluice_media.contract import PusherStatus, PushState, target_clearance
from sluice_operator.controllers.restream import RestreamController
from sluice_operator.controllers.targets import TargetIndex
from sluice_operator.domain.observed import Rival
from sluice_operator.engine.queue import Key
from tests.support.controller_world import (
    World,
    make_child,
    make_livestream,
    make_pod,
    make_restream,
    make_token_secret,
)

DIGEST = "00112233aabbccdd"
TOKEN = "b" * 32
CLEARED = target_clearance(DIGEST, TOKEN)
SHOW = Key("LiveStream", "ns", "show")


class Pushers(World):
    """Restreams of one stream, each with its pod."""

    def __init__(self) -> None:
        super().__init__()
        self.put(make_livestream())
        self.objects: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, dict[str, Any]] = {}
        self.status: dict[str, PusherStatus] = {}

    def add(self, name: str, **spec: Any) -> dict[str, Any]:
        made = make_restream(name)
        made["spec"] |= spec
        obj = self.objects[name] = self.put(made)
        running = {"conditions": [{"type": "Ready", "status": "True"}]}
        self.pods[name] = self.put(make_pod(obj, f"{name}-pod", **running))
        return obj

    def says(
        self, name: str, digest: str, state: PushState = PushState.IDLE, *, connected: bool = False
    ) -> None:
        """The pusher's pod answers, as the observer takes it in."""
        obj, pod = self.objects[name], self.pods[name]
        former = self.status.get(name)
        status = self.status[name] = PusherStatus(
            pod_uid=pod["metadata"]["uid"],
            version=former.version + 1 if former else 1,
            observed_at=datetime.now(UTC),
            state=state,
            connected=connected,
            target_digest=digest,
        )
        self.samples.answered(obj["metadata"]["uid"], status.pod_uid, "2026-03-01", status)
        self.wakeups.on_answer(Key("Restream", "ns", name), former, status)

    async def rivals(self, name: str) -> tuple[Rival, ...]:
        observed = await RestreamController(self.context).gather(self.objects[name])
        return observed.rivals


def keys(*names: str) -> set[Key]:
    return {Key("Restream", "ns", name) for name in names}


def test_the_book_knows_who_has_the_same_target() -> None:
    index = TargetIndex()
    assert index.note("1", "ns", "a") == set()
    assert index.note("2", "ns", "a") == {"1"}
    assert index.note("2", "ns", "a") == set(), "no news"
    assert index.note("3", "other", "a") == set(), "a namespace is a world"
    assert index.others("1") == {"2"}
    assert index.note("2", "ns", "b") == {"1"}, "who is left has to know"
    assert index.others("1") == set()
    assert index.note("2", "ns", "") == set()
    assert index.note("9", "ns", "") == set()
    assert index.forget("1") == set()
    assert index.forget("1") == set()


async def test_two_with_one_target_see_each_other_and_others_do_not() -> None:
    world = Pushers()
    for name in ("a", "b", "c"):
        world.add(name)
    world.says("a", DIGEST, PushState.LIVE)
    world.says("c", "f" * 16)
    await world.woken()
    world.says("b", DIGEST)
    assert await world.woken() == keys("a", "b")
    [seen] = await world.rivals("b")
    assert (seen.name, seen.wants, seen.busy) == ("a", True, True)
    [seen] = await world.rivals("a")
    assert (seen.name, seen.wants, seen.busy) == ("b", True, False)
    assert await world.rivals("c") == ()


@pytest.mark.parametrize("how", ["switched off", "deleted", "without a stream"])
async def test_who_does_not_want_the_target_any_more_wakes_the_other(how: str) -> None:
    world = Pushers()
    first = world.add("a")
    world.add("b")
    world.says("a", DIGEST, PushState.LIVE)
    world.says("b", DIGEST)
    await world.woken()
    match how:
        case "switched off":
            spec = first["spec"] | {"active": False}
            world.change(first, spec=spec, metadata={"generation": 2})
        case "deleted":
            world.change(first, metadata={"deletionTimestamp": "2026-03-01T13:00:00Z"})
        case "without a stream":
            spec = first["spec"] | {"streamRef": {"name": "none"}}
            world.change(first, spec=spec, metadata={"generation": 2})
    assert keys("b") <= await world.woken()
    [seen] = await world.rivals("b")
    assert (seen.wants, seen.busy) == (False, True), "it has not hung up yet"
    world.says("a", DIGEST, PushState.IDLE, connected=True)
    [seen] = await world.rivals("b")
    assert seen.busy, "it still sends what was queued"
    await world.woken()
    world.says("a", DIGEST, PushState.IDLE)
    assert keys("b") <= await world.woken()
    [seen] = await world.rivals("b")
    assert not seen.busy


async def test_a_deleted_one_counts_until_its_pod_has_ended() -> None:
    world = Pushers()
    first = world.add("a")
    world.add("b")
    world.says("a", DIGEST, PushState.LIVE)
    world.says("b", DIGEST)
    world.cache.remove(first["metadata"]["uid"])
    await world.woken()
    [seen] = await world.rivals("b")
    assert (seen.wants, seen.busy) == (False, True)
    world.cache.remove(world.pods["a"]["metadata"]["uid"])
    assert keys("b") <= await world.woken()
    assert await world.rivals("b") == ()
    assert world.context.targets.others("b") == set()


async def test_a_pusher_that_has_fallen_silent_is_waited_for_while_its_pod_is_there() -> None:
    world = Pushers()
    world.add("a")
    world.add("b")
    world.says("a", DIGEST)
    world.says("b", DIGEST)
    [seen] = await world.rivals("b")
    assert not seen.busy
    await world.clock.advance(11)
    [seen] = await world.rivals("b")
    assert seen.busy, "who knows what it does"
    ended = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
    world.change(
        world.pods["a"],
        metadata={"deletionTimestamp": "2026-03-01T12:00:30Z"},
        status=ended,
    )
    [seen] = await world.rivals("b")
    assert seen.busy, "its time is not up"
    await world.clock.advance(30)
    [seen] = await world.rivals("b")
    assert not seen.busy, "a lost node's pod stays for ever"


async def test_a_pusher_that_was_deleted_before_its_pod_was_ready_counts_until_it_ended() -> None:
    world = Pushers()
    first = world.add("a")
    world.add("b")
    world.says("a", DIGEST, PushState.LIVE)
    world.says("b", DIGEST)
    starting = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
    world.cache.remove(first["metadata"]["uid"])
    ending = {"deletionTimestamp": "2026-03-01T12:00:30Z"}
    world.change(world.pods["a"], metadata=ending, status=starting)
    [seen] = await world.rivals("b")
    assert seen.busy, "it connects before the kubelet calls it ready"
    world.cache.remove(world.pods["a"]["metadata"]["uid"])
    assert await world.rivals("b") == ()


async def test_after_a_start_the_older_one_counts_although_nobody_has_heard_it() -> None:
    world = Pushers()
    world.add("a")
    duplicate = world.add("b")
    config = {"namespace": "ns", "name": "b", "uid": "u", "duplicateOf": "a", "clearedTarget": ""}
    data = {"config.json": json.dumps(config)}
    world.put(make_child("v1", "ConfigMap", "b-push", duplicate, data=data))
    world.says("b", DIGEST)
    [seen] = await world.rivals("b")
    assert (seen.name, seen.wants) == ("a", True)
    world.says("a", "f" * 16)
    assert await world.rivals("b") == (), "it was heard, and pushes elsewhere now"


def hub_token(world: Pushers) -> None:
    world.put(make_token_secret("show-hub", world.cache.find(SHOW), TOKEN))


def configured(world: Pushers, name: str, **fields: Any) -> None:
    config = {"namespace": "ns", "name": name, "uid": "u"} | fields
    data = {"config.json": json.dumps(config)}
    made = make_child("v1", "ConfigMap", f"{name}-push", world.objects[name], data=data)
    world.lookup.remember(world.api.put(made))


@pytest.mark.parametrize(
    "fields",
    [{"clearedTarget": CLEARED}, {"clearedTarget": "", "withdrawnTargets": [CLEARED]}],
    ids=["cleared", "withdrawn"],
)
async def test_who_may_dial_a_target_by_its_configuration_has_it_whether_it_was_heard_or_not(
    fields: dict[str, Any],
) -> None:
    world = Pushers()
    hub_token(world)
    for name in ("a", "b", "c"):
        world.add(name)
    configured(world, "a", **fields)
    configured(world, "c", clearedTarget="f" * 16)
    world.says("b", DIGEST)
    [seen] = await world.rivals("b")
    assert (seen.name, seen.wants, seen.busy) == ("a", True, True)
    world.says("a", "f" * 16)
    [seen] = await world.rivals("b")
    assert (seen.name, seen.wants, seen.busy) == ("a", False, True), "it names another one now"
    configured(world, "b", clearedTarget=CLEARED)
    assert await world.rivals("b") == (), "who has it asks nobody"


@pytest.mark.parametrize("how", ["deleted", "created again"])
async def test_a_clearance_of_a_lost_token_may_be_for_any_target(how: str) -> None:
    """The operator has just started, and cannot ask the pusher: its token was the hub's."""
    world = Pushers()
    world.add("a")
    world.objects["b"] = world.put(make_restream("b", "other"))
    world.pods["b"] = world.put(make_pod(world.objects["b"], "b-pod"))
    world.put(make_livestream("other"))
    world.put(
        make_token_secret("other-hub", world.cache.find(Key("LiveStream", "ns", "other")), TOKEN)
    )
    configured(world, "a", clearedTarget=target_clearance(DIGEST, "former token of the hub"))
    show = world.cache.find(SHOW)
    assert show is not None
    if how == "deleted":
        world.cache.remove(show["metadata"]["uid"])
    else:
        world.change(show, metadata={"creationTimestamp": "2026-03-01T13:00:00Z"})
        hub_token(world)
    world.says("b", DIGEST)
    [seen] = await world.rivals("b")
    assert (seen.name, seen.wants, seen.busy) == ("a", False, True)
    world.cache.remove(world.pods["a"]["metadata"]["uid"])
    assert await world.rivals("b") == ()


async def test_a_pod_whose_restream_had_gone_when_the_operator_started_may_be_connected() -> None:
    world = Pushers()
    hub_token(world)
    gone = world.add("a")
    world.cache.remove(gone["metadata"]["uid"])
    world.add("b")
    world.says("b", DIGEST)
    [seen] = await world.rivals("b")
    assert (seen.wants, seen.busy) == (False, True)
    world.cache.remove(world.pods["a"]["metadata"]["uid"])
    assert await world.rivals("b") == ()


async def test_fifty_restreams_of_a_stream_wake_the_stream_and_not_each_other() -> None:
    world = Pushers()
    for number in range(50):
        world.add(f"r{number}")
        world.says(f"r{number}", f"{number:016x}")
    await world.woken()
    world.says("r7", f"{7:016x}", PushState.LIVE)
    assert await world.woken() == keys("r7")
    live = [{"type": "Live", "status": "True", "reason": "Publishing"}]
    world.change(world.objects["r7"], status={"live": True, "conditions": live})
    assert await world.woken() == {SHOW}
    stream = world.cache.find(SHOW)
    assert stream is not None
    world.change(stream, status={"restreams": {"total": 50, "live": 1}})
    assert await world.woken() == set(), "how many are live concerns none of them"
