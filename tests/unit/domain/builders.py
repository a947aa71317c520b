"""Builders of test objects, such as ``make_livestream("a").on_air().decide()``."""

from __future__ import annotations

from typing import Any, Self

from sluice_media.contract import (
    IngestStatus,
    Media,
    PullStatus,
    PusherStatus,
    PushState,
    RecordedFile,
    RecorderPhase,
    RecorderStatus,
    Session,
    StoredResult,
    StoreStatus,
)
from sluice_operator.domain import mediastore
from sluice_operator.domain.decision import Decision
from sluice_operator.domain.livestream import decide as livestream
from sluice_operator.domain.observed import (
    IngestSecret,
    ObservedLiveStream,
    ObservedMediaStore,
    ObservedRecording,
    ObservedRestream,
    PublicService,
    ServicePort,
)
from sluice_operator.domain.recording import decide as recording
from sluice_operator.domain.restream import decide as restream
from tests.unit.domain.cases import NOW, SETTINGS, Case, at, recorded_file, text

__all__ = [
    "NOW",
    "SETTINGS",
    "Case",
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


# --------------------------------------------------------------------------- LiveStream


class StreamCase(Case[ObservedLiveStream]):
    kind = "LiveStream"
    role = "ingest"

    def __init__(self, name: str) -> None:
        super().__init__(name, {"title": "Morning show", "source": {"push": {}}})
        self.facts |= {
            "fresh_token": "f" * 32,
            "fresh_backup_token": "e" * 32,
            "fresh_hub_token": "b" * 32,
            "ingest_secret": None,
            "gateway": PublicService("NodePort", {"rtmp": ServicePort(1935, 31935)}),
            "whip": None,
            "recordings": (),
            "restreams": (),
            "recording_names": frozenset(),
        }

    def observed(self) -> ObservedLiveStream:
        return ObservedLiveStream(raw=self.raw, **self.facts)

    def _decide(self) -> Decision:
        return livestream.decide(self.observed(), self.now)

    def key(
        self, token: str | None, rotation: str | None = None, backup: str | None = "s" * 32
    ) -> Self:
        self.facts["ingest_secret"] = IngestSecret(token, backup, rotation)
        return self

    def push(self, **fields: Any) -> Self:
        return self.spec(source={"push": fields})

    def pull(self, *uris: Any, **fields: Any) -> Self:
        """Make the stream pulled; a URI may be a string or a (Secret, key)."""
        given = [
            {"uri": uri}
            if isinstance(uri, str)
            else {"uriSecretRef": {"name": uri[0], "key": uri[1]}}
            for uri in uris
        ]
        return self.spec(source={"pull": {"uris": given} | fields})

    def related(self, *cases: Case[Any]) -> Self:
        self.facts["recordings"] = tuple(c.raw for c in cases if c.kind == "Recording")
        self.facts["restreams"] = tuple(c.raw for c in cases if c.kind == "Restream")
        return self

    def hub(self, **facts: Any) -> Self:
        """Have the hub answer with these facts."""
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

    def on_backup(self, since: float = 0.0, **facts: Any) -> Self:
        """Have the backup feed the output, without a primary."""
        away = {"primary_connected": False, "primary_delivers": False}
        there = {"backup_connected": True, "backup_delivers": True, "active_source": "Backup"}
        return self.on_air(since, **(away | there | facts))

    def pulling(self, since: float = 0.0, index: int = 0, **facts: Any) -> Self:
        """Have a pulled source feed the output."""
        away = {"primary_connected": False, "primary_delivers": False, "active_source": "Pull"}
        pull = PullStatus(uri_index=index, delivers=True)
        session = Session(started_at=at(since), protocol="Pull")
        return self.on_air(since, **(away | {"pull": pull, "session": session} | facts))

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
        self.facts |= {
            "stream": None,
            "hub_token": None,
            "store": None,
            "stored": None,
            "former": None,
            "former_asked_seconds": None,
            "stream_sample": None,
            "store_sample": None,
        }

    def observed(self) -> ObservedRecording:
        return ObservedRecording(raw=self.raw, **self.facts)

    def _decide(self) -> Decision:
        return recording.decide(self.observed(), self.now)

    def of(self, stream: StreamCase) -> Self:
        self.facts |= {
            "stream": stream.raw,
            "hub_token": "b" * 32,
            "stream_sample": stream.facts["sample"],
        }
        return self

    def stream_deleted(self) -> Self:
        self.facts |= {"stream": None, "hub_token": None, "stream_sample": None}
        return self

    def into(self, store: StoreCase) -> Self:
        self.facts |= {"store": store.raw, "store_sample": store.facts["sample"]}
        return self

    def storeless(self) -> Self:
        """Remove the MediaStore."""
        self.facts |= {"store": None, "store_sample": None, "stored": None}
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
    """Return a Recording of an existing stream, into an existing MediaStore."""
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

    def s3(self, **fields: Any) -> Self:
        """Store in a bucket, with keys unless ``serviceAccountName`` is given."""
        keys = {
            "accessKeySecretRef": {"name": "minio", "key": "id"},
            "secretKeySecretRef": {"name": "minio", "key": "secret"},
        }
        if "serviceAccountName" in fields:
            keys = {}
        place = {"bucket": "tapes", "endpoint": "https://s3.example"}
        self.raw["spec"] = {"s3": place | keys | fields}
        return self

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
