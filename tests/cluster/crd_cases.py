"""Objects that the API server refuses, with its sentence; objects that it takes; and changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "CHANGES",
    "CLAIM",
    "INVALID",
    "PULLED",
    "RTMP",
    "STREAM",
    "VALID",
    "Change",
    "Invalid",
    "Valid",
    "pull",
]

KEY = {"name": "platform", "key": "key"}
RTMP = {"uri": "rtmp://platform.example/live", "streamKeySecretRef": KEY}
STREAM = {"streamRef": {"name": "a"}}
CLAIM: dict[str, Any] = {"persistentVolumeClaim": {"claimName": "tapes"}}
KEYS = {"accessKeySecretRef": KEY, "secretKeySecretRef": {"name": "minio", "key": "secret"}}
PULLED = {"uri": "rtmp://a.example/live/x"}


def pull(*uris: Any) -> Any:
    """The spec of a stream that is pulled."""
    return {"source": {"pull": {"uris": list(uris)}}}


def bucket(**fields: Any) -> dict[str, Any]:
    """The spec of a MediaStore in S3."""
    return {"s3": {"bucket": "tapes"} | KEYS | fields}


@dataclass(slots=True, frozen=True)
class Invalid:
    why: str
    kind: str
    want: str
    spec: Any = field(default_factory=dict)
    name: str = "a"


INVALID = [
    # LiveStream
    Invalid("name too long", "LiveStream", "must have at most 40 characters", {}, "a" * 41),
    Invalid("name with a dot", "LiveStream", "lower-case letters, digits and '-'", {}, "a.b"),
    Invalid("name that begins with a digit", "LiveStream", "begin with a letter", {}, "1a"),
    Invalid("no spec", "LiveStream", "spec: Required value", None),
    Invalid(
        "resume window too long",
        "LiveStream",
        "should be less than or equal to 1800",
        {"resumeWindowSeconds": 1801},
    ),
    Invalid(
        "resume window below zero",
        "LiveStream",
        "should be greater than or equal to 0",
        {"resumeWindowSeconds": -1},
    ),
    Invalid(
        "resume window in pieces",
        "LiveStream",
        "must be of type integer",
        {"resumeWindowSeconds": 1.5},
    ),
    Invalid(
        "a protocol that is none",
        "LiveStream",
        'supported values: "RTMP", "RTMPS", "SRT", "WHIP"',
        {"source": {"push": {"protocols": ["RIST"]}}},
    ),
    Invalid(
        "no protocol at all",
        "LiveStream",
        "should have at least 1 items",
        {"source": {"push": {"protocols": []}}},
    ),
    Invalid(
        "the same protocol twice",
        "LiveStream",
        "Duplicate value",
        {"source": {"push": {"protocols": ["RTMP", "RTMP"]}}},
    ),
    Invalid("no source", "LiveStream", "exactly one of push and pull must be set", {"source": {}}),
    Invalid(
        "two sources",
        "LiveStream",
        "exactly one of push and pull must be set",
        {"source": {"push": {}, "pull": {"uris": [PULLED]}}},
    ),
    Invalid(
        "a latency that no line has",
        "LiveStream",
        "should be less than or equal to 8000",
        {"source": {"push": {"srt": {"latencyMilliseconds": 8001}}}},
    ),
    Invalid(
        "failing back at once",
        "LiveStream",
        "should be greater than or equal to 5",
        {"failover": {"failback": "AfterStable", "failbackSeconds": 0}},
    ),
    Invalid(
        "nothing to pull",
        "LiveStream",
        "should have at least 1 items",
        {"source": {"pull": {"uris": []}}},
    ),
    Invalid(
        "too much to pull",
        "LiveStream",
        "must have at most 16 items",
        {"source": {"pull": {"uris": [PULLED] * 17}}},
    ),
    Invalid(
        "a source that is twice",
        "LiveStream",
        "exactly one of uri and uriSecretRef must be set",
        pull({**PULLED, "uriSecretRef": KEY}),
    ),
    Invalid(
        "authorities for a source without TLS",
        "LiveStream",
        "caSecretRef is about the certificate of an rtmps://, https:// or rtsps:// source",
        pull({"uri": "rtsp://camera.example/stream1", "caSecretRef": KEY}),
    ),
    Invalid(
        "a password in a source",
        "LiveStream",
        "must not carry a user or password",
        pull({"uri": "rtsp://me:secret@camera.example/stream1"}),
    ),
    Invalid(
        "a key in a source",
        "LiveStream",
        "must not carry a query or fragment",
        pull({"uri": "https://cdn.example/live.m3u8?token=secret"}),
    ),
    Invalid(
        "an SRT source that waits to be called",
        "LiveStream",
        "the mode can only be caller",
        pull({"uri": "srt://0.0.0.0:9000?mode=listener"}),
    ),
    Invalid(
        "two URIs in one",
        "LiveStream",
        "without spaces and without '|'",
        pull({"uri": "http://a.example/x|file:/etc/passwd"}),
    ),
    Invalid(
        "stall time too short",
        "LiveStream",
        "should be greater than or equal to 200",
        {"failover": {"stallMilliseconds": 10}},
    ),
    Invalid(
        "an unknown update policy",
        "LiveStream",
        'supported values: "WhenIdle", "Immediate"',
        {"updatePolicy": "Never"},
    ),
    Invalid("title too long", "LiveStream", "may not be more than 255", {"title": "x" * 256}),
    Invalid(
        "memory in words",
        "LiveStream",
        "spec.workload.resources.limits.memory",
        {"workload": {"resources": {"limits": {"memory": "a lot"}}}},
    ),
    Invalid("a field that nothing honours", "LiveStream", "unknown field", {"dvr": {}}),
    Invalid(
        "automatic recordings that are transcoded",
        "LiveStream",
        "recordType Transcoded is not supported yet; use Origin",
        {"autoRecord": True, "recordingTemplate": {"recordType": "Transcoded"}},
    ),
    Invalid(
        "automatic recordings in tiny pieces",
        "LiveStream",
        "should be greater than or equal to 10",
        {"recordingTemplate": {"splitSeconds": 9}},
    ),
    Invalid(
        "automatic recordings of another stream",
        "LiveStream",
        "unknown field",
        {"recordingTemplate": {"streamRef": {"name": "b"}}},
    ),
    # Recording
    Invalid("no stream", "Recording", "spec.streamRef: Required value"),
    Invalid(
        "an unknown state",
        "Recording",
        'supported values: "Recording", "Stopped"',
        STREAM | {"desiredState": "Paused"},
    ),
    Invalid(
        "rearmed for ever",
        "Recording",
        "should be less than or equal to 604800",
        STREAM | {"rearmSeconds": 604_801},
    ),
    Invalid(
        "tiny pieces",
        "Recording",
        "should be greater than or equal to 10",
        STREAM | {"splitSeconds": 9},
    ),
    Invalid(
        "no duration at all",
        "Recording",
        "should be greater than or equal to 1",
        STREAM | {"maxDurationSeconds": 0},
    ),
    Invalid(
        "an unknown type",
        "Recording",
        'supported values: "Origin", "Transcoded"',
        STREAM | {"recordType": "Both"},
    ),
    Invalid(
        "kept for no time",
        "Recording",
        "should be greater than or equal to 1",
        STREAM | {"retention": {"seconds": 0}},
    ),
    Invalid(
        "kept for a fraction",
        "Recording",
        "must be of type integer",
        STREAM | {"retention": {"seconds": 1.5}},
    ),
    Invalid(
        "an unknown deletion policy",
        "Recording",
        'supported values: "Retain", "Delete"',
        STREAM | {"deletionPolicy": "Recycle"},
    ),
    Invalid("name too long for its Job", "Recording", "at most 56 characters", STREAM, "r" * 57),
    Invalid("no name of a stream", "Recording", "spec.streamRef.name", {"streamRef": {"name": ""}}),
    # Restream
    Invalid("no target", "Restream", "exactly one of uri and uriSecretRef must be set", STREAM),
    Invalid(
        "two targets",
        "Restream",
        "exactly one of uri and uriSecretRef must be set",
        STREAM | RTMP | {"uriSecretRef": KEY},
    ),
    Invalid(
        "a target without a key",
        "Restream",
        "streamKeySecretRef is required",
        STREAM | {"uri": "rtmps://platform.example/live"},
    ),
    Invalid(
        "a passphrase for RTMP",
        "Restream",
        "RTMP has no passphrase",
        STREAM | RTMP | {"passphraseSecretRef": KEY},
    ),
    Invalid(
        "authorities for a connection without TLS",
        "Restream",
        "caSecretRef is about the certificate of an rtmps:// target",
        STREAM | RTMP | {"caSecretRef": KEY},
    ),
    Invalid(
        "what no target takes both",
        "Restream",
        "no target takes both",
        STREAM | {"uriSecretRef": KEY, "caSecretRef": KEY, "passphraseSecretRef": KEY},
    ),
    Invalid(
        "sound that is not there",
        "Restream",
        'supported values: "Keep", "Drop", "Silence"',
        STREAM | RTMP | {"audio": "Mute"},
    ),
    Invalid(
        "a password in the open",
        "Restream",
        "must not carry a user or password",
        STREAM | RTMP | {"uri": "rtmp://me:secret@platform.example/live"},
    ),
    Invalid(
        "a key in the open",
        "Restream",
        "must not carry a query or fragment",
        STREAM | RTMP | {"uri": "rtmp://platform.example/live?key=secret"},
    ),
    Invalid(
        "no app",
        "Restream",
        "must be rtmp://SERVER/APP",
        STREAM | RTMP | {"uri": "rtmp://platform.example"},
    ),
    Invalid(
        "an SRT target without a port",
        "Restream",
        "must be srt://SERVER:PORT",
        STREAM | {"uri": "srt://platform.example"},
    ),
    Invalid(
        "an SRT passphrase in the open",
        "Restream",
        "only mode and latency may stand here",
        STREAM | {"uri": "srt://platform.example:9000?passphrase=0123456789"},
    ),
    Invalid(
        "an SRT listener",
        "Restream",
        "let the target listen and use mode=caller",
        STREAM | {"uri": "srt://0.0.0.0:9999?mode=listener"},
    ),
    Invalid(
        "a web page",
        "Restream",
        "the uri must begin with rtmp://, rtmps:// or srt://",
        STREAM | RTMP | {"uri": "https://platform.example/live"},
    ),
    Invalid(
        "a retry that is longer than its longest",
        "Restream",
        "minSeconds must not be greater than maxSeconds",
        STREAM | RTMP | {"retry": {"minSeconds": 40, "maxSeconds": 30}},
    ),
    Invalid(
        "a Secret without a key",
        "Restream",
        "spec.streamKeySecretRef.key: Required value",
        STREAM | RTMP | {"streamKeySecretRef": {"name": "platform"}},
    ),
    # MediaStore
    Invalid("nowhere", "MediaStore", "exactly one of persistentVolumeClaim and s3 must be set"),
    Invalid(
        "in two places",
        "MediaStore",
        "exactly one of persistentVolumeClaim and s3 must be set",
        CLAIM | bucket(),
    ),
    Invalid("no bucket", "MediaStore", "spec.s3.bucket: Required value", {"s3": dict(KEYS)}),
    Invalid("a bucket that is no name", "MediaStore", "spec.s3.bucket", bucket(bucket="My_Bucket")),
    Invalid(
        "no credentials",
        "MediaStore",
        "accessKeySecretRef with secretKeySecretRef, or serviceAccountName",
        {"s3": {"bucket": "tapes"}},
    ),
    Invalid(
        "keys and an identity",
        "MediaStore",
        "accessKeySecretRef with secretKeySecretRef, or serviceAccountName",
        bucket(serviceAccountName="recorder"),
    ),
    Invalid(
        "half a pair of keys",
        "MediaStore",
        "accessKeySecretRef and secretKeySecretRef go together",
        {"s3": {"bucket": "tapes", "accessKeySecretRef": KEY}},
    ),
    Invalid(
        "a session token for nothing",
        "MediaStore",
        "sessionTokenSecretRef needs accessKeySecretRef",
        {
            "s3": {
                "bucket": "tapes",
                "serviceAccountName": "recorder",
                "sessionTokenSecretRef": KEY,
            }
        },
    ),
    Invalid(
        "an authority without TLS",
        "MediaStore",
        "caSecretRef needs an endpoint that begins with https://",
        bucket(endpoint="http://minio:9000", caSecretRef=KEY),
    ),
    Invalid(
        "keys in the open",
        "MediaStore",
        "endpoint must be https://HOST or http://HOST",
        bucket(endpoint="https://id:secret@minio.example"),
    ),
    Invalid(
        "a bucket in the endpoint",
        "MediaStore",
        "nothing behind it",
        bucket(endpoint="https://minio.example/tapes"),
    ),
    Invalid(
        "a prefix that leads out",
        "MediaStore",
        "no part of it may be only dots",
        bucket(prefix="../other"),
    ),
    Invalid(
        "no limit at all", "MediaStore", "limit must be greater than 0", CLAIM | {"limit": "0"}
    ),
    Invalid(
        "a limit that is no quantity",
        "MediaStore",
        "limit must be a quantity such as 20Gi",
        CLAIM | {"limit": "20Gigs"},
    ),
    Invalid(
        "a warning beyond the end",
        "MediaStore",
        "should be less than or equal to 100",
        CLAIM | {"warnAtPercent": 101},
    ),
    Invalid(
        "neither claim nor template",
        "MediaStore",
        "exactly one of claimName and template must be set",
        {"persistentVolumeClaim": {}},
    ),
    Invalid(
        "claim and template",
        "MediaStore",
        "exactly one of claimName and template must be set",
        {"persistentVolumeClaim": {"claimName": "x", "template": {"size": "1Gi"}}},
    ),
    Invalid(
        "no room",
        "MediaStore",
        "size must be greater than 0",
        {"persistentVolumeClaim": {"template": {"size": "0"}}},
    ),
    Invalid(
        "a size that is no quantity",
        "MediaStore",
        "size must be a quantity such as 20Gi",
        {"persistentVolumeClaim": {"template": {"size": "20Gigs"}}},
    ),
    Invalid(
        "an unknown access mode",
        "MediaStore",
        'supported values: "ReadWriteOnce", "ReadWriteMany"',
        {"persistentVolumeClaim": {"template": {"size": "1Gi", "accessModes": ["ReadOnlyMany"]}}},
    ),
]


@dataclass(slots=True, frozen=True)
class Valid:
    why: str
    kind: str
    spec: Any
    name: str = "a"


PULLABLE = [
    "rtmp://192.0.2.1:1935/live/x",
    "rtmps://[2001:db8::1]/live/x",
    "srt://a.example:9000?mode=caller&latency=200",
    "http://a.example/x.m3u8",
    "https://a.example",
    "rtsp://camera.example:554/stream1",
    "rtsps://camera.example/stream1",
]
VALID = [
    Valid("an empty spec", "LiveStream", {}),
    Valid("the longest name", "LiveStream", {}, "a" * 40),
    Valid("everything that can be pulled", "LiveStream", pull(*({"uri": u} for u in PULLABLE))),
    Valid("a secret source", "LiveStream", pull({"uriSecretRef": KEY})),
    Valid(
        "sources behind TLS with authorities of their own",
        "LiveStream",
        pull(
            {"uriSecretRef": KEY, "caSecretRef": KEY},
            *(
                {"uri": u, "caSecretRef": KEY}
                for u in PULLABLE
                if u[:5] in ("rtmps", "https", "rtsps")
            ),
        ),
    ),
    Valid("the same source twice", "LiveStream", pull(PULLED, PULLED)),
    Valid(
        "SRT with a passphrase",
        "LiveStream",
        {"source": {"push": {"srt": {"latencyMilliseconds": 20, "passphraseSecretRef": KEY}}}},
    ),
    Valid("a name that begins with a digit", "Recording", STREAM, "2026-05-04-show"),
    Valid("an address", "Restream", STREAM | RTMP | {"uri": "rtmp://192.0.2.1:1935/live/x"}),
    Valid("an IPv6 address", "Restream", STREAM | RTMP | {"uri": "rtmp://[2001:db8::1]:1935/live"}),
    Valid("a secret target", "Restream", STREAM | {"uriSecretRef": KEY}),
    Valid(
        "a target behind TLS with authorities of its own",
        "Restream",
        STREAM | RTMP | {"uri": "rtmps://platform.example/live", "caSecretRef": KEY},
    ),
    Valid("an SRT target", "Restream", STREAM | {"uri": "srt://192.0.2.1:9000?latency=500"}),
    Valid(
        "an SRT target with everything",
        "Restream",
        STREAM
        | {
            "uri": "srt://platform.example:9000?mode=caller&latency=500",
            "streamKeySecretRef": KEY,
            "passphraseSecretRef": KEY,
            "audio": "Silence",
        },
    ),
    Valid("a claim", "MediaStore", CLAIM | {"limit": "1.5Ti", "warnAtPercent": 100}),
    Valid("a bucket", "MediaStore", bucket()),
    Valid(
        "a bucket with everything",
        "MediaStore",
        bucket(
            endpoint="https://[2001:db8::1]:9000/",
            prefix="live/studio-a",
            pathStyle=False,
            sessionTokenSecretRef=KEY,
            caSecretRef=KEY,
        ),
    ),
    Valid(
        "a bucket by identity",
        "MediaStore",
        {"s3": {"bucket": "tapes", "serviceAccountName": "recorder"}},
    ),
    Valid(
        "a recording with everything",
        "Recording",
        STREAM
        | {
            "startWhenLive": False,
            "recordType": "Transcoded",
            "splitSeconds": 10,
            "maxDurationSeconds": 1,
            "retention": {"seconds": 1, "keepOriginal": True, "originalSeconds": 1},
            "deletionPolicy": "Delete",
        },
    ),
    Valid(
        "automatic recordings",
        "LiveStream",
        {"autoRecord": True, "recordingTemplate": {"storeRef": {"name": "archive"}}},
    ),
    Valid(
        "CPU as a number",
        "LiveStream",
        {"workload": {"resources": {"requests": {"cpu": 2, "memory": "64Mi"}}}},
    ),
]


@dataclass(slots=True, frozen=True)
class Change:
    why: str
    kind: str
    before: Any
    after: Any
    want: str = ""
    """What is said; empty: the change is taken."""


NO = {"enabled": False}
CHANGES = [
    Change("a stop", "Recording", STREAM, STREAM | {"desiredState": "Stopped"}),
    Change(
        "another stream",
        "Recording",
        STREAM,
        {"streamRef": {"name": "b"}},
        "streamRef of a Recording cannot be changed; make a new Recording",
    ),
    Change(
        "a store that was not named before",
        "Recording",
        STREAM,
        STREAM | {"storeRef": {"name": "x"}},
        "storeRef of a Recording cannot be changed",
    ),
    Change(
        "a store that is not named any more",
        "Recording",
        STREAM | {"storeRef": {"name": "x"}},
        STREAM,
        "storeRef of a Recording cannot be changed",
    ),
    Change(
        "another minimum",
        "Recording",
        STREAM,
        STREAM | {"minimumSeconds": 11},
        "minimumSeconds of a Recording cannot be changed",
    ),
    Change(
        "another rearm time",
        "Recording",
        STREAM,
        STREAM | {"rearmSeconds": 1},
        "rearmSeconds of a Recording cannot be changed",
    ),
    Change(
        "another retention",
        "Recording",
        STREAM,
        STREAM | {"retention": {"seconds": 60, "keepOriginal": True}},
    ),
    *(
        Change(
            f"another {name}",
            "Recording",
            STREAM,
            STREAM | {name: value},
            f"{name} of a Recording cannot be changed; make a new Recording",
        )
        for name, value in {
            "splitSeconds": 60,
            "maxDurationSeconds": 60,
            "startWhenLive": False,
            "recordType": "Transcoded",
            "deletionPolicy": "Delete",
        }.items()
    ),
    Change("another limit", "MediaStore", CLAIM, CLAIM | {"limit": "1Gi", "warnAtPercent": 50}),
    Change(
        "another way to the bucket",
        "MediaStore",
        bucket(),
        {
            "s3": {
                "bucket": "tapes",
                "endpoint": "https://minio.example",
                "serviceAccountName": "recorder",
            }
        },
    ),
    Change(
        "another bucket",
        "MediaStore",
        bucket(),
        bucket(bucket="other"),
        "bucket and prefix of a MediaStore cannot be changed; make a new MediaStore",
    ),
    Change(
        "a prefix that was not there",
        "MediaStore",
        bucket(),
        bucket(prefix="live"),
        "bucket and prefix of a MediaStore cannot be changed; make a new MediaStore",
    ),
    Change(
        "from a claim to a bucket",
        "MediaStore",
        CLAIM,
        bucket(),
        "a MediaStore cannot move between a claim and S3; make a new MediaStore",
    ),
    Change("automatic recordings", "LiveStream", {}, {"autoRecord": True}),
    Change(
        "another claim",
        "MediaStore",
        CLAIM,
        {"persistentVolumeClaim": {"claimName": "other"}},
        "persistentVolumeClaim of a MediaStore cannot be changed; make a new MediaStore",
    ),
    Change("another title", "LiveStream", {}, {"title": "x"}),
    Change("no backup any more", "LiveStream", {}, {"source": {"push": {"backup": NO}}}),
    Change("another source", "LiveStream", pull(PULLED), pull({"uriSecretRef": KEY}, PULLED)),
    Change(
        "pulled instead of pushed",
        "LiveStream",
        {"source": {"push": {}}},
        pull(PULLED),
        "a LiveStream that is pushed cannot become one that is pulled",
    ),
    Change(
        "pushed instead of pulled",
        "LiveStream",
        pull(PULLED),
        {"source": {"push": {}}},
        "a LiveStream that is pushed cannot become one that is pulled",
    ),
    Change(
        "another target", "Restream", STREAM | RTMP, STREAM | RTMP | {"uri": "rtmp://other/live"}
    ),
]
