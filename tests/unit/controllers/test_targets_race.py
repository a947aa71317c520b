"""Whatever happens in whatever order: never are two pushers connected to one target, and when
things have settled the oldest one that wants it is.

A small model of the cluster around the real gathering and the real decision: configurations reach
pods late, answers reach the operator late, what one worker decided is written after another one
has looked, pods are killed, Secrets change, the operator restarts.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from sluice_media.contract import PusherConfig, PusherStatus, PushState, target_clearance
from sluice_operator.controllers.restream import RestreamController
from sluice_operator.controllers.targets import TargetIndex
from sluice_operator.domain.decision import Decision
from sluice_operator.engine.queue import Key
from tests.support.controller_world import make_child, make_pod, make_token_secret
from tests.unit.controllers.test_targets import SHOW, Pushers

TOKEN = "b" * 32
NAMES = ("a", "b", "c", "d")


class Pusher:
    """As much of a pusher's pod as matters: it dials what its configuration clears."""

    def __init__(self, name: str, digest: str) -> None:
        self.name, self.digest = name, digest
        self.pod: dict[str, Any] | None = None
        self.config: PusherConfig | None = None
        self.connected: str | None = None
        self.closing = False
        self.version = 0

    def apply(self, config: PusherConfig) -> None:
        self.config = config
        self.act()

    def act(self) -> None:
        """What the pod does by itself, again and again."""
        if self.pod is None or self.config is None:
            return
        shown = self.connected or self.digest
        cleared = self.config.cleared_target == target_clearance(shown, TOKEN)
        wanted = self.config.active and self.config.duplicate_of is None and cleared
        if self.connected is not None and (self.closing or not wanted):
            # A connection takes its time to be closed.
            self.connected, self.closing = (None, False) if self.closing else (shown, True)
        elif self.connected is None and wanted:
            self.connected = self.digest

    def die(self) -> None:
        self.pod = self.config = self.connected = None
        self.closing = False

    def status(self) -> PusherStatus:
        assert self.pod is not None
        self.version += 1
        up = self.connected is not None and not self.closing
        return PusherStatus(
            pod_uid=self.pod["metadata"]["uid"],
            version=self.version,
            observed_at="2026-03-01T12:00:00Z",
            config_hash=self.config.hash if self.config else "",
            config_generation=self.config.generation if self.config else 0,
            state=PushState.LIVE if up else PushState.IDLE,
            connected=self.connected is not None,
            target_digest=self.connected or self.digest,
        )


class Race(Pushers):
    def __init__(self, seed: int) -> None:
        super().__init__()
        self.dice = random.Random(seed)
        self.context.started_at = -3600.0
        stream = self.cache.find(SHOW)
        self.put(make_token_secret("show-hub", stream, TOKEN))
        self.controller = RestreamController(self.context)
        self.pushers = {name: Pusher(name, self.dice.choice("xy") * 16) for name in NAMES}
        self.passes: dict[str, Decision] = {}
        self.serial = 0
        for name in NAMES:
            self.add(name)
            self.forget_pod(name)

    def forget_pod(self, name: str) -> None:
        self.cache.remove(self.pods[name]["metadata"]["uid"])

    async def look(self, name: str) -> None:
        """One pass of the operator, or the end of the one that is under way."""
        if name not in self.passes:
            await self.begin_to_look(name)
        await self.write(name)

    async def begin_to_look(self, name: str) -> None:
        """What was decided is written later: other workers decide about others meanwhile."""
        obj = self.cache.by_uid(self.objects[name]["metadata"]["uid"])
        assert obj is not None
        observed = await self.controller.gather(obj)
        self.passes[name] = self.controller.decide(observed, self.clock.now())

    async def write(self, name: str) -> None:
        obj = self.cache.by_uid(self.objects[name]["metadata"]["uid"])
        decision = self.passes.pop(name)
        for child in decision.children:
            manifest: Any = child.manifest
            if manifest["kind"] == "ConfigMap":
                made = make_child("v1", "ConfigMap", f"{name}-push", obj, data=manifest["data"])
                self.lookup.remember(self.api.put(made))
            if manifest["kind"] == "Deployment":
                spec = manifest["spec"]
                self.put(make_child("apps/v1", "Deployment", f"{name}-push", obj, spec=spec))
                self.scale(name, spec["replicas"])

    def scale(self, name: str, replicas: int) -> None:
        pusher = self.pushers[name]
        if replicas and pusher.pod is None:
            self.serial += 1
            running = {"conditions": [{"type": "Ready", "status": "True"}]}
            made = make_pod(self.objects[name], f"{name}-{self.serial}", **running)
            pusher.pod = self.pods[name] = self.put(made)
            self.mount(name)
        elif not replicas and pusher.pod is not None:
            self.kill(name)

    def mount(self, name: str) -> None:
        """The kubelet brings the pod what its ConfigMap says now."""
        stored = self.api.objects["ConfigMap", "ns", f"{name}-push"]
        self.pushers[name].apply(PusherConfig(**json.loads(stored["data"]["config.json"])))

    def kill(self, name: str) -> None:
        pusher = self.pushers[name]
        if pusher.pod is not None:
            pusher.die()
            self.forget_pod(name)

    def answer(self, name: str) -> None:
        pusher = self.pushers[name]
        if pusher.pod is None:
            return
        former, status = self.status.get(name), pusher.status()
        self.status[name] = status
        uid = self.objects[name]["metadata"]["uid"]
        self.samples.answered(uid, status.pod_uid, f"{self.serial:09}", status)
        self.wakeups.on_answer(Key("Restream", "ns", name), former, status)

    def switch(self, name: str) -> None:
        obj = self.objects[name]
        spec = obj["spec"] | {"active": not obj["spec"].get("active", True)}
        generation = obj["metadata"]["generation"] + 1
        self.objects[name] = self.change(obj, spec=spec, metadata={"generation": generation})

    def restart_operator(self) -> None:
        for name in NAMES:
            self.samples.forget(self.objects[name]["metadata"]["uid"])
        self.context.targets = self.wakeups._targets = TargetIndex()
        self.status.clear()
        self.passes.clear()
        self.controller = RestreamController(self.context)
        self.context.started_at = self.clock.monotonic()

    async def step(self) -> None:
        name = self.dice.choice(NAMES)
        pusher = self.pushers[name]
        match self.dice.choices(range(9), [6, 6, 6, 4, 1, 1, 1, 1, 4])[0]:
            case 0:
                await self.look(name)
            case 1:
                self.answer(name)
            case 2 if pusher.pod is not None:
                self.mount(name)
            case 3:
                pusher.act()
            case 4:
                self.switch(name)
            case 5:
                pusher.digest = self.dice.choice("xy") * 16
            case 6:
                self.kill(name)
            case 8 if name not in self.passes:
                await self.begin_to_look(name)
            case 7 if self.dice.random() < 0.2:
                self.restart_operator()
                # Whoever answers by then, or does not.
                await self.clock.advance(self.dice.choice((1, 11)))

    async def settle(self) -> None:
        for _ in range(20):
            await self.clock.advance(1)
            for name in NAMES:
                await self.look(name)
                if self.pushers[name].pod is not None:
                    self.mount(name)
                self.pushers[name].act()
                self.answer(name)

    def check(self) -> None:
        connected = [p.connected for p in self.pushers.values() if p.connected is not None]
        assert len(connected) == len(set(connected)), connected


@pytest.mark.parametrize("seed", range(15))
async def test_two_are_never_connected_to_one_target(seed: int) -> None:
    race = Race(seed)
    for _ in range(250):
        await race.step()
        race.check()
    await race.settle()
    race.check()
    active = [n for n in NAMES if race.objects[n]["spec"].get("active", True)]
    first: dict[str, str] = {}
    for name in active:
        # A changed Secret cuts nobody: the target is kept until the connection ends.
        claimed = race.pushers[name].connected or race.pushers[name].digest
        first.setdefault(claimed, name)
    pushing = {n for n in NAMES if race.pushers[n].connected is not None}
    assert pushing == set(first.values())
