"""Objects of the tests: ``make_livestream("a").on_air().decide()`` and its siblings.

A builder stands for one object in its cluster. ``decide()`` makes one pass as the engine would:
the decided status is stored (with transition times), the children exist afterwards, and the status
is checked against the schema of the CustomResourceDefinition.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Self, TypeVar

from sluice_media.contract import (
    IngestStatus,
    Media,
    PusherStatus,
    PushState,
    RecordedFile,
    RecorderPhase,
    RecorderStatus,
    Session,
    StoredResult,
    StoreStatus,
)
from sluice_operator.api.v1alpha1 import KINDS
from sluice_operator.crd import crd_manifest
from sluice_operator.domain import livestream, mediastore, recording, restream
from sluice_operator.domain.decision import Condition, Decision
from sluice_operator.domain.observed import (
    Conflict,
    DomainSettings,
    GatewayService,
    IngestSecret,
    ObservedLiveStream,
    ObservedMediaStore,
    ObservedRecording,
    ObservedRestream,
    PodView,
    Sample,
)
from tests.unit.crd.validate import violations

__all__ = [
    "NOW",
    "RecordingCase",
    "RestreamCase",
    "StoreCase",
    "StreamCase",
    "at",
    "make_livestream",
    "make_mediastore",
    "make_recording",
    "make_restream",
    "recorded_file",
    "text",
]

NOW = datetime(2026, 5, 4, 10, 0, 0, tzinfo=UTC)
SETTINGS = DomainSettings(
    media_image="sluice-media:test",
    gateway_public_host="live.example.org",
    gateway_public_rtmp_port=1935,
)
STATUS_SCHEMAS = {
    model.crd.kind: crd_manifest(model)["spec"]["versions"][0]["schema"]["openAPIV3Schema"][
        "properties"
    ]["status"]
    for model in KINDS
}

Object = dict[str, Any]
O = TypeVar("O")  # noqa: E741


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def text(seconds: float) -> str:
    """The moment as a status says it."""
    return at(seconds).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def recorded_file(
    index: int = 0, state: Any = "Recording", seconds: float = 0.0, **more: Any
) -> RecordedFile:
    return RecordedFile(
        index=index,
        name=f"file-{index}.mp4",
        state=state,
        started_at=NOW,
        duration_seconds=seconds,
        **more,
    )


class Case(Generic[O]):
    """What is the same for every kind."""

    kind = ""
    role = ""

    def __init__(self, name: str, spec: Object) -> None:
        self.now = NOW
        self.name = name
        self.raw: Object = {
            "apiVersion": "sluice.video/v1alpha1",
            "kind": self.kind,
            "metadata": {
                "name": name,
                "namespace": "show",
                "uid": f"uid-{name}",
                "generation": 1,
                "creationTimestamp": NOW.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "resourceVersion": "1",
            },
            "spec": spec,
        }
        self.facts: dict[str, Any] = {
            "settings": SETTINGS,
            "operator_uptime_seconds": 3600.0,
            "children": {},
            "conflicts": (),
            "pods": (),
            "sample": None,
        }
        self.last: Decision | None = None

    # ---- the world

    def later(self, seconds: float, *, in_touch: bool = True) -> Self:
        """Time passes; ``in_touch``: the pod goes on sending its heartbeat."""
        self.now += timedelta(seconds=seconds)
        sample = self.facts["sample"]
        if sample is not None and not in_touch:
            self.facts["sample"] = replace(sample, age_seconds=sample.age_seconds + seconds)
        return self

    def spec(self, **changes: Any) -> Self:
        """The user changes the spec."""
        self.raw["spec"] |= changes
        self.raw["metadata"]["generation"] += 1
        return self

    def annotated(self, **annotations: str) -> Self:
        kept = self.raw["metadata"].setdefault("annotations", {})
        kept |= {f"sluice.video/{key.replace('_', '-')}": v for key, v in annotations.items()}
        return self

    def settings(self, **changes: Any) -> Self:
        self.facts["settings"] = replace(self.facts["settings"], **changes)
        return self

    def conflict(self, kind: str, suffix: str, *, leaving: bool = False, held_by: str = "") -> Self:
        conflict = Conflict(kind, f"{self.name}-{suffix}", held_by, leaving)
        self.facts["conflicts"] = (conflict,)
        return self

    def operator_restarted(self) -> Self:
        self.facts |= {"sample": None, "operator_uptime_seconds": 1.0}
        return self

    def operator_up_for(self, seconds: float) -> Self:
        self.facts["operator_uptime_seconds"] = seconds
        return self

    def deleted(self) -> Self:
        self.raw["metadata"]["deletionTimestamp"] = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        return self

    # ---- the pod

    def pod(self, name: str = "pod-1", **facts: Any) -> Self:
        """Its pod is there, running and ready unless said otherwise."""
        view: dict[str, Any] = {
            "uid": name,
            "created_at": self.now,
            "phase": "Running",
            "ready": True,
            "ip": "10.0.0.1",
            "template_hash": self.template_hash(),
        } | facts
        self.facts["pods"] = (PodView(name=name, **view),)
        return self

    def no_pod(self) -> Self:
        self.facts["pods"] = ()
        return self

    def template_hash(self) -> str | None:
        for kind in ("Deployment", "Job"):
            child = self.facts["children"].get((kind, f"{self.name}-{self.role}"))
            if child is not None:
                found: str = child["spec"]["template"]["metadata"]["annotations"][
                    "sluice.video/template"
                ]
                return found
        return None

    def says(self, status: Any, age: float = 0.0) -> Self:
        if not self.facts["pods"]:
            self.pod()
        self.facts["sample"] = Sample(status=status, age_seconds=age)
        return self

    def echo(self) -> Object:
        """What the pod answers of itself: configured with what is decided now."""
        pods = self.facts["pods"]
        config = self.child("ConfigMap")
        digest = ""
        if config is not None:
            digest = config["data"]["config.json"].split('"hash":"')[1].split('"')[0]
        return {
            "pod_uid": pods[0].uid if pods else "pod-1",
            "version": 1,
            "observed_at": self.now,
            "config_generation": self.raw["metadata"]["generation"],
            "config_hash": digest,
        }

    # ---- one pass

    def observed(self) -> O:
        raise NotImplementedError

    def _decide(self) -> Decision:
        raise NotImplementedError

    def decide(self) -> Decision:
        decision = self._decide()
        self.last = decision
        before = {c["type"]: c for c in self.raw.get("status", {}).get("conditions", ())}
        status = {
            **decision.status,
            "conditions": [_stamped(c, before.get(c.type), self.now) for c in decision.conditions],
        }
        assert violations(STATUS_SCHEMAS[self.kind], status, "status") == []
        self.raw["status"] = status
        for child in decision.children:
            manifest: Any = child.manifest
            key = manifest["kind"], manifest["metadata"]["name"]
            if child.owned and not (child.create_only and key in self.facts["children"]):
                stored = {**manifest, "metadata": {**manifest["metadata"], "uid": f"uid-{key[1]}"}}
                self.facts["children"] = {**self.facts["children"], key: stored}
        for deletion in decision.deletions:
            kept = dict(self.facts["children"])
            del kept[deletion.kind, deletion.name]
            self.facts["children"] = kept
        return decision

    def settled(self) -> Self:
        """A pass, its pod comes up and echoes, and another pass."""
        self.decide()
        self.pod()
        return self

    # ---- what came out

    def child(self, kind: str, suffix: str | None = None) -> Any:
        return self.facts["children"].get((kind, f"{self.name}-{suffix or self.role}"))

    def condition(self, type_: str) -> Condition | None:
        assert self.last is not None
        return next((c for c in self.last.conditions if c.type == type_), None)

    def word(self, type_: str) -> str:
        """``True/OnAir`` and the like; empty when there is no such condition."""
        condition = self.condition(type_)
        return f"{condition.status}/{condition.reason}" if condition else ""

    @property
    def status(self) -> Any:
        assert self.last is not None
        return self.last.status


def _stamped(condition: Condition, before: Object | None, now: datetime) -> Object:
    kept = before is not None and before["status"] == condition.status
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": before["lastTransitionTime"]
        if kept and before is not None
        else now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


# --------------------------------------------------------------------------- LiveStream


class StreamCase(Case[ObservedLiveStream]):
    kind = "LiveStream"
    role = "ingest"

    def __init__(self, name: str) -> None:
        super().__init__(name, {"title": "Morning show", "source": {"push": {}}})
        self.facts |= {
            "fresh_token": "f" * 32,
            "fresh_hub_token": "b" * 32,
            "ingest_secret": None,
            "gateway": GatewayService("NodePort", 1935, 31935),
            "recordings": (),
            "restreams": (),
        }

    def observed(self) -> ObservedLiveStream:
        return ObservedLiveStream(raw=self.raw, **self.facts)

    def _decide(self) -> Decision:
        return livestream.decide(self.observed(), self.now)

    def key(self, token: str | None, rotation: str | None = None) -> Self:
        self.facts["ingest_secret"] = IngestSecret(token, rotation)
        return self

    def related(self, *cases: Case[Any]) -> Self:
        self.facts["recordings"] = tuple(c.raw for c in cases if c.kind == "Recording")
        self.facts["restreams"] = tuple(c.raw for c in cases if c.kind == "Restream")
        return self

    def hub(self, **facts: Any) -> Self:
        """The hub answers with these facts."""
        if not self.facts["pods"]:
            self.pod()
        return self.says(IngestStatus(**(self.echo() | facts)))

    def idle(self, **facts: Any) -> Self:
        return self.hub(**facts)

    def on_air(self, since: float = 0.0, **facts: Any) -> Self:
        return self.hub(
            **(
                {
                    "on_air": True,
                    "primary_connected": True,
                    "primary_delivers": True,
                    "session": Session(started_at=at(since), protocol="RTMP", media="H264 AAC"),
                    "media": Media(video_codec="H264", width=1280, height=720, bitrate_kbps=3000),
                }
                | facts
            )
        )

    def interrupted(self, since: float = 0.0) -> Self:
        return self.hub(interrupted=True, session=Session(started_at=at(since), protocol="RTMP"))

    def finished(self, started: float, finished: float, **facts: Any) -> Self:
        session = Session(
            started_at=at(started),
            finished_at=at(finished),
            protocol="RTMP",
            end_reason="WindowPassed",
        )
        return self.hub(session=session, **facts)


def make_livestream(name: str) -> StreamCase:
    return StreamCase(name)


# --------------------------------------------------------------------------- Recording


class RecordingCase(Case[ObservedRecording]):
    kind = "Recording"
    role = "record"

    def __init__(self, name: str, stream: str) -> None:
        super().__init__(name, {"streamRef": {"name": stream}})
        self.facts |= {"stream": None, "hub_token": None, "store": None, "stored": None}

    def observed(self) -> ObservedRecording:
        return ObservedRecording(raw=self.raw, **self.facts)

    def _decide(self) -> Decision:
        return recording.decide(self.observed(), self.now)

    def of(self, stream: StreamCase) -> Self:
        self.facts |= {"stream": stream.raw, "hub_token": "b" * 32}
        return self

    def stream_deleted(self) -> Self:
        self.facts |= {"stream": None, "hub_token": None}
        return self

    def into(self, store: StoreCase) -> Self:
        self.facts["store"] = store.raw
        return self

    def recorder(
        self, phase: RecorderPhase, *files: RecordedFile, age: float = 0.0, **facts: Any
    ) -> Self:
        if not self.facts["pods"]:
            self.pod()
        total = sum(f.duration_seconds for f in files)
        given = {"phase": phase, "files": list(files), "recording_duration": total} | facts
        if files:
            given.setdefault("recording_started_at", files[0].started_at)
        return self.says(RecorderStatus(**(self.echo() | given)), age)

    def stored(self, state: Any, *files: RecordedFile, **facts: Any) -> Self:
        uid = self.raw["metadata"]["uid"]
        self.facts["stored"] = StoredResult(uid=uid, state=state, files=list(files), **facts)
        return self


def make_recording(name: str, stream: StreamCase | None = None) -> RecordingCase:
    """Of a stream that exists, into a MediaStore that does."""
    case = RecordingCase(name, stream.name if stream else "a")
    case.into(make_mediastore("default"))
    return case.of(stream or make_livestream("a"))


# --------------------------------------------------------------------------- Restream


class RestreamCase(Case[ObservedRestream]):
    kind = "Restream"
    role = "push"

    def __init__(self, name: str, stream: str) -> None:
        super().__init__(
            name,
            {
                "streamRef": {"name": stream},
                "uri": "rtmp://platform.example/live",
                "streamKeySecretRef": {"name": "platform", "key": "key"},
            },
        )
        self.facts |= {"stream": None, "hub_token": None}

    def observed(self) -> ObservedRestream:
        return ObservedRestream(raw=self.raw, **self.facts)

    def _decide(self) -> Decision:
        return restream.decide(self.observed(), self.now)

    def of(self, stream: StreamCase) -> Self:
        self.facts |= {"stream": stream.raw, "hub_token": "b" * 32}
        return self

    def stream_deleted(self) -> Self:
        self.facts |= {"stream": None, "hub_token": None}
        return self

    def pusher(self, state: PushState, age: float = 0.0, **facts: Any) -> Self:
        if not self.facts["pods"]:
            self.pod()
        given = {"state": state, "target": "rtmp://platform.example/live"} | facts
        return self.says(PusherStatus(**(self.echo() | given)), age)


def make_restream(name: str, stream: StreamCase | None = None) -> RestreamCase:
    return RestreamCase(name, stream.name if stream else "a").of(stream or make_livestream("a"))


# --------------------------------------------------------------------------- MediaStore


class StoreCase(Case[ObservedMediaStore]):
    kind = "MediaStore"
    role = "store"

    def __init__(self, name: str) -> None:
        super().__init__(name, {"persistentVolumeClaim": {"template": {"size": "20Gi"}}})
        self.facts |= {"fresh_token": "c" * 32, "claim": None}

    def observed(self) -> ObservedMediaStore:
        return ObservedMediaStore(raw=self.raw, **self.facts)

    def _decide(self) -> Decision:
        return mediastore.decide(self.observed(), self.now)

    def named_claim(self, name: str) -> Self:
        self.raw["spec"]["persistentVolumeClaim"] = {"claimName": name}
        return self

    def claim(self, phase: str = "Bound", **labels: str) -> Self:
        self.facts["claim"] = {
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": f"{self.name}-store", "labels": labels},
            "status": {"phase": phase},
        }
        return self

    def own_claim(self) -> Self:
        return self.claim(
            **{"app.kubernetes.io/managed-by": "sluice", "sluice.video/name": self.name}
        )

    def store(self, age: float = 0.0, **facts: Any) -> Self:
        if not self.facts["pods"]:
            self.pod()
        return self.says(StoreStatus(**(self.echo() | {"writable": True} | facts)), age)


def make_mediastore(name: str) -> StoreCase:
    return StoreCase(name)
