"""Objects that the API server takes, and changes that it takes or refuses."""

from __future__ import annotations

from tests.cluster.crd_specs import (
    CLAIM,
    KEY,
    PULLED,
    RTMP,
    STREAM,
    Change,
    Valid,
    bucket,
    pull,
)

__all__ = ["CHANGES", "VALID"]

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
    Valid(
        "a source that is given up right after it was left",
        "LiveStream",
        pull(PULLED, stallSeconds=59, inactivitySeconds=60),
    ),
    Valid("the same source twice", "LiveStream", pull(PULLED, PULLED)),
    Valid(
        "SRT with a passphrase",
        "LiveStream",
        {"source": {"push": {"srt": {"latencyMilliseconds": 20, "passphraseSecretRef": KEY}}}},
    ),
    Valid("playback with all defaults", "LiveStream", {"playback": {}}),
    Valid(
        "playback with everything",
        "LiveStream",
        {
            "clientUserId": 9_007_199_254_740_991,
            "clientEntityData": "x" * 4096,
            "playback": {
                "replicas": 3,
                "segmentSeconds": 6,
                "dvrSeconds": 14_400,
                "hls": {"enabled": False, "endList": False},
                "dash": {"enabled": False, "endList": False},
                "hlsMpegts": {"enabled": True, "endList": True},
                "access": "Signed",
                "screenshot": {"intervalSeconds": 3600, "keepLast": True},
                "projection": "VR360TB",
                "workload": {
                    "resources": {"requests": {"cpu": 1}},
                    "nodeSelector": {"disk": "fast"},
                },
            },
        },
    ),
    Valid("the shortest DVR", "LiveStream", {"playback": {"dvrSeconds": 30}}),
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
            "recordType": "Origin",
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


NO = {"enabled": False}
CHANGES = [
    Change(
        "playback that is switched on",
        "LiveStream",
        {},
        {"playback": {"access": "Signed", "replicas": 2}},
    ),
    Change("playback that is switched off", "LiveStream", {"playback": {}}, {}),
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
