"""LiveStream: its key and addresses, and what it does for its Recordings and Restreams."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass, replace
from typing import Any

import pytest

from sluice_operator.domain.decision import Decision
from sluice_operator.domain.observed import PublicPorts, PublicService, ServicePort
from tests.unit.domain.builders import (
    StreamCase,
    make_livestream,
    make_recording,
    make_restream,
    text,
)


def settled(name: str = "a") -> StreamCase:
    """A stream whose pod is up, configured and idle."""
    case = make_livestream(name).key("k" * 32)
    case.settled().idle().decide()
    return case


def secret(decision: Decision, name: str) -> dict[str, str]:
    manifest: Any = next(
        c.manifest
        for c in decision.children
        if c.manifest["kind"] == "Secret" and c.manifest["metadata"]["name"] == name
    )
    return {key: b64decode(value).decode() for key, value in manifest["data"].items()}


def config(case: StreamCase) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(case.child("ConfigMap")["data"]["config.json"])
    return found


# --------------------------------------------------------------------------- the key


def test_a_key_that_exists_is_kept_and_the_addresses_follow_from_it() -> None:
    values = secret(make_livestream("a").key("abc", backup="xyz").decide(), "a-ingest")
    assert values == {
        "token": "abc",
        "backupToken": "xyz",
        "streamKey": "a?abc",
        "rtmpServer": "rtmp://live.example.org:1935/show",
        "rtmpUrl": "rtmp://live.example.org:1935/show/a?abc",
        "backupStreamKey": "a?xyz",
        "backupRtmpServer": "rtmp://live.example.org:1935/show",
        "backupRtmpUrl": "rtmp://live.example.org:1935/show/a?xyz",
    }


def test_the_secret_is_written_over_the_version_that_its_key_was_read_from() -> None:
    case = make_livestream("a").key("abc")
    case.facts["ingest_secret"] = replace(case.facts["ingest_secret"], version="77")
    assert case.decide().children[0].over_version == "77"


def test_a_stream_without_a_key_gets_a_fresh_one() -> None:
    assert secret(make_livestream("a").decide(), "a-ingest")["token"] == "f" * 32
    assert secret(make_livestream("a").key(None).decide(), "a-ingest")["token"] == "f" * 32


def test_a_new_rotation_request_makes_a_new_key_once_and_tells_the_pod() -> None:
    case = settled().annotated(rotate_key="2026-05-04")
    decision = case.decide()
    assert secret(decision, "a-ingest")["token"] == "f" * 32
    assert secret(decision, "a-ingest")["backupToken"] == "e" * 32, "both are changed"
    (nudge,) = decision.pod_config_hashes
    written: Any = decision.children[0].manifest
    rotation = written["metadata"]["annotations"]["sluice.video/rotated-key"]
    assert rotation == "2026-05-04"
    case.key("e" * 32, rotation).pod(config_annotation=nudge.value).idle()
    again = case.decide()
    assert secret(again, "a-ingest")["token"] == "e" * 32
    assert again.pod_config_hashes == ()


def test_a_rotation_request_that_is_there_from_the_start_is_taken_as_done() -> None:
    case = make_livestream("a").annotated(rotate_key="1")
    written: Any = case.decide().children[0].manifest
    assert written["metadata"]["annotations"]["sluice.video/rotated-key"] == "1"


def test_the_hub_token_is_made_once() -> None:
    hub = next(
        c
        for c in make_livestream("a").decide().children
        if c.manifest["metadata"]["name"] == "a-hub"
    )
    assert hub.create_only


def test_no_key_is_anywhere_but_in_secrets() -> None:
    case = settled().key("canary-canary").on_air()
    decision = case.decide()
    elsewhere = [c.manifest for c in decision.children if c.manifest["kind"] != "Secret"]
    shown = json.dumps([elsewhere, decision.status, [str(c) for c in decision.conditions]])
    for token in ("canary-canary", "s" * 32, "f" * 32, "e" * 32, "b" * 32):
        assert token not in shown
        assert token not in repr(case.observed())


def gateway(type_: str, node_port: int | None = None, host: str | None = None) -> PublicService:
    return PublicService(type_, {"rtmp": ServicePort(1935, node_port)}, host)


@dataclass(slots=True, frozen=True)
class AddressCase:
    why: str
    gateway: PublicService | None
    host: str = ""
    port: int | None = None
    want: str | None = None


@pytest.mark.parametrize(
    "case",
    [
        AddressCase("no gateway at all", None),
        AddressCase("a load balancer that has no address yet", gateway("LoadBalancer")),
        AddressCase(
            "a load balancer",
            gateway("LoadBalancer", 30000, "198.51.100.7"),
            want="rtmp://198.51.100.7:1935/show/a",
        ),
        AddressCase(
            "a load balancer with a name of its own",
            gateway("LoadBalancer", 30000, "198.51.100.7"),
            host="live.example.org",
            want="rtmp://live.example.org:1935/show/a",
        ),
        AddressCase("node ports without a host", gateway("NodePort", 31935)),
        AddressCase(
            "node ports",
            gateway("NodePort", 31935),
            host="10.0.0.9",
            want="rtmp://10.0.0.9:31935/show/a",
        ),
        AddressCase(
            "a port that is mapped somewhere else",
            gateway("NodePort", 31935),
            host="live.example.org",
            port=1935,
            want="rtmp://live.example.org:1935/show/a",
        ),
        AddressCase(
            "an IPv6 address",
            gateway("LoadBalancer", None, "2001:db8::7"),
            want="rtmp://[2001:db8::7]:1935/show/a",
        ),
    ],
    ids=lambda case: case.why,
)
def test_the_address_that_publishers_dial(case: AddressCase) -> None:
    stream = settled().settings(
        gateway_public_host=case.host, gateway_public_ports=PublicPorts(rtmp=case.port)
    )
    stream.facts["gateway"] = case.gateway
    decision = stream.idle().decide()
    assert stream.status["ingest"].get("rtmp") == case.want
    assert ("rtmpUrl" in secret(decision, "a-ingest")) == (case.want is not None)
    reason = "Configured" if case.want else "AddressPending"
    assert stream.word("Ready") == f"True/{reason}"
    # Nobody tells when the address is there.
    assert decision.requeue_after_seconds == (None if case.want else pytest.approx(15))


# --------------------------------------------------------------------------- recordings, restreams


def test_a_recording_that_has_not_begun_pins_the_ring() -> None:
    case = settled()
    recording = make_recording("r", case)
    case.related(recording).decide()
    since = recording.raw["metadata"]["creationTimestamp"]
    assert config(case)["pins"] == [{"recordingUid": "uid-r", "since": since}]
    recording.raw["status"] = {"recordingStartedAt": text(1)}
    case.decide()
    assert config(case)["pins"] == []


def test_the_oldest_running_recording_is_mirrored() -> None:
    case = settled().on_air()
    older, newer, done = (make_recording(name, case) for name in ("older", "newer", "done"))
    for recording, created, seconds in ((older, "09:00:00", 70.5), (newer, "09:30:00", 9.0)):
        recording.raw["metadata"]["creationTimestamp"] = f"2026-05-04T{created}Z"
        recording.raw["status"] = {
            "recording": True,
            "observedAt": text(0),
            "files": [
                {"index": 1, "state": "Ready", "durationSeconds": 600.0},
                {"index": 2, "state": "Recording", "durationSeconds": seconds},
            ],
        }
    done.raw["status"] = {"recording": False}
    case.related(newer, older, done).decide()
    assert case.status["recording"] is True
    assert case.status["recordingName"] == "older"
    assert case.status["recordingDuration"] == 70.5
    assert case.word("Recording") == "True/Recording"


def test_a_duration_that_only_ticks_is_written_every_ten_seconds() -> None:
    case = settled().on_air()
    recording = make_recording("r", case)

    def tick(seconds: float) -> Decision:
        files = [{"index": 1, "state": "Recording", "durationSeconds": seconds}]
        recording.raw["status"] = {"recording": True, "observedAt": text(seconds), "files": files}
        return case.related(recording).decide()

    tick(0)
    case.later(4)
    held = tick(4)
    assert held.status["recordingDuration"] == 0
    assert held.requeue_after_seconds == pytest.approx(6)
    case.later(6)
    assert tick(10).status["recordingDuration"] == 10


def test_restreams_are_counted() -> None:
    case = settled()
    live, idle = make_restream("x", case), make_restream("y", case)
    live.raw["status"] = {"live": True}
    case.related(live, idle).decide()
    assert case.status["restreams"] == {"total": 2, "live": 1}
