"""A LiveStream with playback, its play pods and its edge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

from sluice_media.contract import PlayStatus
from sluice_operator.domain.observed import (
    EdgeSettings,
    ObservedPlayback,
    PlaybackSecret,
    PublicService,
    Sample,
    ServicePort,
)
from sluice_operator.domain.pod_view import PodView
from tests.unit.domain.builders import StreamCase

__all__ = ["EDGE", "LOAD_BALANCER", "SESSION", "PlayCase", "make_played", "playing"]

SESSION = "5e55107000000001"
EDGE = EdgeSettings(host="sluice-edge.sluice-system.svc.cluster.local", port=8080)
LOAD_BALANCER = PublicService(
    "LoadBalancer",
    {"http": ServicePort(80)},
    load_balancer_host="play.example.org",
    name="sluice-system/sluice-edge",
)


class PlayCase(StreamCase):
    def __init__(self, name: str, **playback: Any) -> None:
        super().__init__(name)
        self.raw["spec"]["playback"] = playback
        self.settings(edge=EDGE)
        self.facts["playback"] = ObservedPlayback(
            fresh_key="9" * 64, edge=LOAD_BALANCER, edge_token="7" * 64
        )

    # ---- the world

    def seen(self, **facts: Any) -> Self:
        """Change what is known of the playback."""
        self.facts["playback"] = replace(self.facts["playback"], **facts)
        return self

    def playback(self, **changes: Any) -> Self:
        """Change the spec of the playback, as the user does."""
        return self.spec(playback=self.raw["spec"]["playback"] | changes)

    def without_playback(self) -> Self:
        """Remove playback from the spec."""
        del self.raw["spec"]["playback"]
        self.facts["playback"] = None
        return self

    def signing_key(
        self, key: str | None, previous: str | None = None, rotation: str | None = None
    ) -> Self:
        return self.seen(secret=PlaybackSecret(key, previous, rotation, version="77"))

    # ---- the play pods

    def play_pod(self, name: str = "play-1", **facts: Any) -> Self:
        """Add a play pod, or replace the one of this name; it is ready unless ``facts`` differ."""
        view: dict[str, Any] = {
            "uid": name,
            "created_at": self.now,
            "phase": "Running",
            "ready": True,
            "ip": "10.0.0.2",
            "template_hash": self.play_template(),
        } | facts
        others = tuple(pod for pod in self.facts["playback"].pods if pod.name != name)
        return self.seen(pods=(*others, PodView(name=name, **view)))

    def plays(self, name: str = "play-1", age: float = 0.0, **facts: Any) -> Self:
        """Have a play pod answer; the pod is added when it is not there."""
        if name not in {pod.name for pod in self.facts["playback"].pods}:
            self.play_pod(name)
        config = self.child("ConfigMap", "play")
        status = PlayStatus(
            pod_uid=name,
            version=1,
            observed_at=self.now,
            config_generation=self.raw["metadata"]["generation"],
            config_hash=config["data"]["config.json"].split('"hash":"')[1].split('"')[0]
            if config is not None
            else "",
            **facts,
        )
        others = [s for s in self.facts["playback"].samples if s.status.pod_uid != name]
        return self.seen(samples=(*others, Sample(status, age)))

    def serves(self, name: str = "play-1", age: float = 0.0, **facts: Any) -> Self:
        """Have a play pod serve the session through the edge."""
        given: dict[str, Any] = {
            "session": SESSION,
            "is_serving": True,
            "window_seconds": 12.0,
            "keyframe_seconds": 2.0,
            "edge_answers": True,
        }
        return self.plays(name, age, **(given | facts))

    def play_template(self) -> str | None:
        found = self.child("Deployment", "play")
        if found is None:
            return None
        annotations = found["spec"]["template"]["metadata"]["annotations"]
        return str(annotations["sluice.video/template"])

    # ---- what came out

    @property
    def ready_word(self) -> str:
        return self.word("PlaybackReady")

    @property
    def played(self) -> Any:
        """``status.playback``"""
        return self.status["playback"]


def make_played(name: str = "a", **playback: Any) -> PlayCase:
    """Return a stream whose ingest pod is up and idle; its play pods are about to be made."""
    case = PlayCase(name, **playback)
    case.key("k" * 32)
    case.settled().idle().decide()
    return case


def playing(name: str = "a", **playback: Any) -> PlayCase:
    """Return a stream on air that is played."""
    case = make_played(name, **playback)
    case.on_air(timeline=SESSION).signing_key("s3cret")
    for number in range(playback.get("replicas", 1)):
        case.serves(f"play-{number + 1}")
    case.decide()
    return case
