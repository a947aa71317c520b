"""LiveStream, row by row of the lifecycle table."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Any

import pytest

from sluice_media.contract import Media, Rejection, Session
from sluice_operator.domain.decision import Decision
from sluice_operator.domain.observed import GatewayService
from tests.unit.domain.builders import (
    StreamCase,
    at,
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


# --------------------------------------------------------------------------- the table


@dataclass(slots=True, frozen=True)
class Row:
    """One event of the table, and what stands in the status afterwards."""

    case: StreamCase
    want_live: bool
    want_condition: str
    want_source: str | None = None
    want: dict[str, Any] = field(default_factory=dict)
    want_absent: tuple[str, ...] = ()


def row_1_created_and_nobody_publishes() -> Row:
    return Row(
        settled(), False, "False/WaitingForPublisher", want_absent=("startedAt", "finishedAt")
    )


def row_2_key_accepted_but_no_keyframe_yet() -> Row:
    return Row(settled().idle(primary_connected=True), False, "False/WaitingForKeyframe")


def row_3_first_keyframe() -> Row:
    return Row(
        settled().on_air(since=3),
        True,
        "True/OnAir",
        "Primary",
        {
            "startedAt": text(3),
            "media": {"videoCodec": "H264", "width": 1280, "height": 720, "bitrateKbps": 3000},
        },
        ("finishedAt",),
    )


def row_7_no_leg_delivers() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    return Row(
        case.later(60).interrupted(since=3),
        False,
        "False/Interrupted",
        want={"startedAt": text(3)},
        want_absent=("finishedAt", "media"),
    )


def row_8_back_inside_the_window_is_the_same_session() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    case.interrupted(since=3).decide()
    return Row(case.later(6).on_air(since=3), True, "True/OnAir", "Primary", {"startedAt": text(3)})


def row_9_the_window_has_passed() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    return Row(
        case.later(80).finished(3, 62),
        False,
        "False/WaitingForPublisher",
        want={"startedAt": text(3), "finishedAt": text(62)},
    )


def row_10_media_after_the_window_keeps_finished_at() -> Row:
    case = settled().finished(3, 62)
    case.decide()
    return Row(
        case.later(300).on_air(since=300),
        True,
        "True/OnAir",
        "Primary",
        {"startedAt": text(300), "finishedAt": text(62)},
    )


def row_11_switched_off() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    case.spec(active=False)
    case.decide()
    return Row(case.finished(3, 20), False, "False/Disabled", want={"finishedAt": text(20)})


def row_11_switched_off_but_the_hub_has_not_heard_yet() -> Row:
    case = settled().on_air(since=3).spec(active=False)
    return Row(case, True, "True/OnAir", "Primary")


def row_14_the_pod_dies_and_nothing_is_known_to_have_changed() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    return Row(case.no_pod().later(9, in_touch=False), True, "True/OnAir", "Primary")


def row_14_the_pod_is_away_for_too_long() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    return Row(
        case.no_pod().later(11, in_touch=False),
        False,
        "Unknown/Stale",
        want={"startedAt": text(3)},
        want_absent=("finishedAt", "media"),
    )


def row_14_the_next_hub_has_not_adopted_the_session_yet() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    return Row(case.later(4).pod("pod-2").later(3).idle(), True, "True/OnAir", "Primary")


def row_14_the_next_hub_went_on_with_it() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    return Row(
        case.later(4).pod("pod-2").on_air(since=3),
        True,
        "True/OnAir",
        "Primary",
        {"startedAt": text(3)},
    )


def row_14_the_next_hub_never_hears_of_the_session() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    case.later(4).pod("pod-2").later(11).idle().decide()
    assert case.word("Live") == "False/Interrupted"
    return Row(
        case.later(11).idle(),
        False,
        "False/WaitingForPublisher",
        want={"startedAt": text(3), "finishedAt": text(15)},
    )


def row_15_the_operator_was_away() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    return Row(case.later(600).operator_restarted(), True, "True/OnAir", "Primary")


def row_15_the_operator_is_back_but_hears_nothing() -> Row:
    case = settled().on_air(since=3)
    case.decide()
    return Row(case.operator_restarted().operator_up_for(11), False, "Unknown/Stale")


def a_new_stream_whose_pod_starts() -> Row:
    case = make_livestream("a")
    case.decide()
    return Row(case.pod(ready=False), False, "Unknown/Starting")


ROWS = [
    row_1_created_and_nobody_publishes,
    row_2_key_accepted_but_no_keyframe_yet,
    row_3_first_keyframe,
    row_7_no_leg_delivers,
    row_8_back_inside_the_window_is_the_same_session,
    row_9_the_window_has_passed,
    row_10_media_after_the_window_keeps_finished_at,
    row_11_switched_off,
    row_11_switched_off_but_the_hub_has_not_heard_yet,
    row_14_the_pod_dies_and_nothing_is_known_to_have_changed,
    row_14_the_pod_is_away_for_too_long,
    row_14_the_next_hub_has_not_adopted_the_session_yet,
    row_14_the_next_hub_went_on_with_it,
    row_14_the_next_hub_never_hears_of_the_session,
    row_15_the_operator_was_away,
    row_15_the_operator_is_back_but_hears_nothing,
    a_new_stream_whose_pod_starts,
]


@pytest.mark.parametrize("make_row", ROWS, ids=lambda make: make.__name__)
def test_each_row_of_the_lifecycle(make_row: Any) -> None:
    row: Row = make_row()
    row.case.decide()
    status = row.case.status
    assert row.case.word("Live") == row.want_condition
    assert status["live"] is row.want_live
    assert status.get("activeSource") == row.want_source
    assert {key: status.get(key) for key in row.want} == row.want
    assert not [key for key in row.want_absent if key in status]


# --------------------------------------------------------------------------- sessions


def test_ten_sessions_are_kept_newest_first() -> None:
    case = settled()
    for number in range(12):
        case.finished(number * 100, number * 100 + 50).decide()
    starts = [session["startedAt"] for session in case.status["sessions"]]
    assert starts == [text(number * 100) for number in range(11, 1, -1)]
    assert case.status["sessions"][0]["endReason"] == "WindowPassed"


def test_sessions_that_passed_while_nobody_looked_are_filled_in() -> None:
    case = settled().on_air(since=100)
    missed = Session(started_at=at(20), finished_at=at(40), protocol="RTMP")
    case.on_air(since=100, past_sessions=[missed]).decide()
    assert [s["startedAt"] for s in case.status["sessions"]] == [text(100), text(20)]
    assert case.status["finishedAt"] == text(40)


def test_the_last_rejection_outlives_the_hub_that_refused() -> None:
    case = settled().idle(last_rejection=Rejection(reason="BadKey", at=at(5)))
    case.decide()
    case.pod("pod-2").idle().decide()
    assert case.status["lastRejection"] == {"reason": "BadKey", "at": text(5)}


def test_a_stream_without_random_access_gets_advice() -> None:
    case = settled().on_air(no_random_access=True)
    case.decide()
    assert case.word("NoRandomAccess") == "True/NoKeyframe"
    case.on_air().decide()
    assert case.condition("NoRandomAccess") is None


def test_a_bit_rate_that_wobbles_is_not_written_again() -> None:
    case = settled().on_air()
    case.decide()
    case.on_air(media=Media(video_codec="H264", width=1280, height=720, bitrate_kbps=3300))
    case.decide()
    assert case.status["media"]["bitrateKbps"] == 3000
    case.on_air(media=Media(video_codec="H264", width=1280, height=720, bitrate_kbps=6000))
    case.decide()
    assert case.status["media"]["bitrateKbps"] == 6000


# --------------------------------------------------------------------------- the key


def test_a_key_that_exists_is_kept_and_the_addresses_follow_from_it() -> None:
    values = secret(make_livestream("a").key("abc").decide(), "a-ingest")
    assert values == {
        "token": "abc",
        "streamKey": "a?abc",
        "rtmpServer": "rtmp://live.example.org:1935/show",
        "rtmpUrl": "rtmp://live.example.org:1935/show/a?abc",
    }


def test_a_stream_without_a_key_gets_a_fresh_one() -> None:
    assert secret(make_livestream("a").decide(), "a-ingest")["token"] == "f" * 32
    assert secret(make_livestream("a").key(None).decide(), "a-ingest")["token"] == "f" * 32


def test_a_new_rotation_request_makes_a_new_key_once_and_tells_the_pod() -> None:
    case = settled().annotated(rotate_key="2026-05-04")
    decision = case.decide()
    assert secret(decision, "a-ingest")["token"] == "f" * 32
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
    for token in ("canary-canary", "f" * 32, "b" * 32):
        assert token not in shown
        assert token not in repr(case.observed())


@dataclass(slots=True, frozen=True)
class AddressCase:
    why: str
    gateway: GatewayService | None
    host: str = ""
    port: int | None = None
    want: str | None = None


@pytest.mark.parametrize(
    "case",
    [
        AddressCase("no gateway at all", None),
        AddressCase("a load balancer that has no address yet", GatewayService("LoadBalancer")),
        AddressCase(
            "a load balancer",
            GatewayService("LoadBalancer", 1935, 30000, "198.51.100.7"),
            want="rtmp://198.51.100.7:1935/show/a",
        ),
        AddressCase(
            "a load balancer with a name of its own",
            GatewayService("LoadBalancer", 1935, 30000, "198.51.100.7"),
            host="live.example.org",
            want="rtmp://live.example.org:1935/show/a",
        ),
        AddressCase("node ports without a host", GatewayService("NodePort", 1935, 31935)),
        AddressCase(
            "node ports",
            GatewayService("NodePort", 1935, 31935),
            host="10.0.0.9",
            want="rtmp://10.0.0.9:31935/show/a",
        ),
        AddressCase(
            "a port that is mapped somewhere else",
            GatewayService("NodePort", 1935, 31935),
            host="live.example.org",
            port=1935,
            want="rtmp://live.example.org:1935/show/a",
        ),
        AddressCase(
            "an IPv6 address",
            GatewayService("LoadBalancer", 1935, None, "2001:db8::7"),
            want="rtmp://[2001:db8::7]:1935/show/a",
        ),
    ],
    ids=lambda case: case.why,
)
def test_the_address_that_publishers_dial(case: AddressCase) -> None:
    stream = settled().settings(gateway_public_host=case.host, gateway_public_rtmp_port=case.port)
    stream.facts["gateway"] = case.gateway
    decision = stream.idle().decide()
    assert stream.status["ingest"].get("rtmp") == case.want
    assert ("rtmpUrl" in secret(decision, "a-ingest")) == (case.want is not None)
    reason = "Configured" if case.want else "AddressPending"
    assert stream.word("Ready") == f"True/{reason}"


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
                {"index": 0, "state": "Ready", "durationSeconds": 600.0},
                {"index": 1, "state": "Recording", "durationSeconds": seconds},
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
        files = [{"index": 0, "state": "Recording", "durationSeconds": seconds}]
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
