"""LiveStreams that the API server refuses, with its sentence."""

from __future__ import annotations

from tests.cluster.crd_specs import (
    KEY,
    PULLED,
    Invalid,
    pull,
)

__all__ = ["REFUSED_STREAMS"]

REFUSED_STREAMS = [
    Invalid("name too long", "LiveStream", "must have at most 40 characters", {}, "a" * 41),
    Invalid("name with a dot", "LiveStream", "lower-case letters, digits and '-'", {}, "a.b"),
    Invalid("name that begins with a digit", "LiveStream", "begin with a letter", {}, "1a"),
    Invalid("no spec", "LiveStream", "spec: Required value", None),
    Invalid(
        "playback in no format",
        "LiveStream",
        "at least one of hls, dash and hlsMpegts must be enabled",
        {"playback": {"hls": {"enabled": False}, "dash": {"enabled": False}}},
    ),
    Invalid(
        "a DVR that is too short",
        "LiveStream",
        "dvrSeconds must be 0 or at least 30",
        {"playback": {"dvrSeconds": 29}},
    ),
    Invalid(
        "a DVR that is too long",
        "LiveStream",
        "should be less than or equal to 14400",
        {"playback": {"dvrSeconds": 14_401}},
    ),
    Invalid(
        "no play pod",
        "LiveStream",
        "should be greater than or equal to 1",
        {"playback": {"replicas": 0}},
    ),
    Invalid(
        "too many play pods",
        "LiveStream",
        "should be less than or equal to 3",
        {"playback": {"replicas": 4}},
    ),
    Invalid(
        "long segments",
        "LiveStream",
        "should be less than or equal to 6",
        {"playback": {"segmentSeconds": 7}},
    ),
    Invalid(
        "screenshots all the time",
        "LiveStream",
        "should be greater than or equal to 2",
        {"playback": {"screenshot": {"intervalSeconds": 1}}},
    ),
    Invalid(
        "an access that is none",
        "LiveStream",
        'supported values: "Public", "Signed"',
        {"playback": {"access": "Private"}},
    ),
    Invalid(
        "a projection that is none",
        "LiveStream",
        'supported values: "Regular", "VR360", "VR180", "VR360TB"',
        {"playback": {"projection": "VR720"}},
    ),
    Invalid(
        "too much data of the client",
        "LiveStream",
        "may not be more than 4096",
        {"clientEntityData": "x" * 4097},
    ),
    Invalid(
        "a client below zero",
        "LiveStream",
        "should be greater than or equal to 0",
        {"clientUserId": -1},
    ),
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
        "pulling that is given up before a source is left",
        "LiveStream",
        "inactivitySeconds must be greater than stallSeconds",
        pull(PULLED, stallSeconds=60, inactivitySeconds=60),
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
        'supported values: "Origin"',
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
]
