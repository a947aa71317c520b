"""Recordings, Restreams and MediaStores that the API server refuses, with its sentence."""

from __future__ import annotations

from tests.cluster.crd_specs import (
    CLAIM,
    KEY,
    KEYS,
    RTMP,
    STREAM,
    Invalid,
    bucket,
)

__all__ = ["REFUSED"]

REFUSED = [
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
        'supported values: "Origin"',
        STREAM | {"recordType": "Both"},
    ),
    Invalid(
        "a type that does not work yet",
        "Recording",
        'supported values: "Origin"',
        STREAM | {"recordType": "Transcoded"},
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
        "a limit that is not a quantity",
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
        "a size that is not a quantity",
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
