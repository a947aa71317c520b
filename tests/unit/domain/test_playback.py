"""PlaybackReady and status.playback: measured through the edge, for the session that is on air."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice_media.contract import Session
from sluice_operator.domain.observed import PublicService, ServicePort
from tests.unit.domain.builders import at, make_livestream
from tests.unit.domain.playback_cases import EDGE, LOAD_BALANCER, SESSION, make_played, playing

# --------------------------------------------------------------------------- the cost of nothing


def test_a_stream_without_playback_has_no_child_no_field_and_no_condition_more() -> None:
    case = make_livestream("a").key("k" * 32)
    case.settled().on_air(timeline=SESSION)
    decision = case.settings(edge=EDGE).decide()
    names = {(c.manifest["kind"], c.manifest["metadata"]["name"]) for c in decision.children}
    assert not {name for _, name in names if "play" in name or "edge" in name}
    assert case.condition("PlaybackReady") is None
    assert "playback" not in case.status
    assert decision.deletions == ()


# --------------------------------------------------------------------------- from start to end


def test_a_session_is_playable_when_a_pod_got_it_through_the_edge() -> None:
    case = make_played()
    assert case.ready_word == "False/Starting"
    case.plays().decide()
    assert case.ready_word == "False/NotOnAir"
    case.on_air(timeline=SESSION).decide()
    assert case.ready_word == "False/Starting"
    case.serves(edge_answers=False).decide()
    assert case.ready_word == "False/Starting"
    case.serves(edge_answers=False, edge_message="The edge cannot be reached.").decide()
    assert case.ready_word == "False/EdgeNotAnswering"
    case.serves().decide()
    assert case.ready_word == "True/Serving"
    case.finished(0, 60).plays().decide()
    assert case.ready_word == "False/NotOnAir"


def test_the_playlists_of_an_earlier_session_do_not_count() -> None:
    case = playing().on_air(timeline="5e55107000000002").decide()
    assert [c.reason for c in case.conditions if c.type == "PlaybackReady"] == ["Starting"]


def test_within_the_resume_window_playback_goes_on() -> None:
    case = playing()
    session = Session(started_at=at(0), protocol="RTMP")
    case.hub(interrupted=True, session=session, timeline=SESSION).decide()
    assert case.word("Live") == "False/Interrupted"
    assert case.ready_word == "True/Serving"


def test_the_ingest_pod_may_be_away_while_the_play_pods_serve() -> None:
    case = playing().later(30, in_touch=False)
    case.decide()
    assert case.word("Live") == "Unknown/Stale"
    assert case.ready_word == "True/Serving"


def test_a_new_hub_that_may_adopt_the_session_ends_nothing() -> None:
    case = playing()
    case.hub(adopting=True).decide()
    assert case.ready_word == "True/Serving"


def test_one_of_two_pods_is_enough() -> None:
    case = playing(replicas=2)
    case.play_pod("play-2", ready=False).serves("play-2", age=30.0).decide()
    assert case.ready_word == "True/Serving"
    assert case.played["replicas"] == {"wanted": 2, "ready": 1}


def test_a_new_pod_that_cannot_start_is_named_while_the_old_ones_serve() -> None:
    case = playing(replicas=2)
    case.play_pod("play-3", ready=False, waiting_reason="ImagePullBackOff", since=case.now)
    case.later(121).decide()
    assert case.ready_word == "True/Serving"
    condition = case.condition("PlaybackReady")
    assert condition is not None
    assert condition.message == (
        "Players can play the stream. The image of the play pod cannot be pulled: ImagePullBackOff"
    )


def test_the_edge_has_to_answer_one_of_them_only() -> None:
    case = playing(replicas=2)
    case.serves("play-2", edge_answers=False, edge_message="Timeout.").decide()
    assert case.ready_word == "True/Serving"


def test_what_the_pod_says_of_the_edge_is_quoted() -> None:
    case = playing().serves(edge_answers=False, edge_message="The edge answered with 403.")
    case.decide()
    condition = case.condition("PlaybackReady")
    assert condition is not None
    assert condition.message == "The edge answered with 403."


# --------------------------------------------------------------------------- keyframes


def test_rare_keyframes_are_advice_and_playback_is_ready() -> None:
    case = playing().serves(keyframe_seconds=4.2)
    case.decide()
    assert case.ready_word == "True/KeyframeInterval"
    condition = case.condition("PlaybackReady")
    assert condition is not None
    assert "Set the encoder's keyframe interval to 2 s." in condition.message


def test_the_advice_does_not_flicker_around_its_limit() -> None:
    case = playing()
    words = []
    for seconds in (4.0, 4.1, 3.9, 4.1, 3.6, 3.4, 3.9):
        case.serves(keyframe_seconds=seconds).decide()
        words.append(case.ready_word.partition("/")[2])
    assert words == ["Serving", *["KeyframeInterval"] * 4, "Serving", "Serving"]


# --------------------------------------------------------------------------- silence


def test_silent_pods_make_it_unknown_after_ten_seconds() -> None:
    case = playing().serves(age=9.0)
    decision = case.decide()
    assert case.ready_word == "True/Serving"
    assert decision.requeue_after_seconds == pytest.approx(1.1)
    case.serves(age=11.0).decide()
    assert case.ready_word == "Unknown/Stale"


def test_after_a_start_of_the_operator_the_stored_condition_is_trusted() -> None:
    case = playing()
    before = case.played
    case.seen(samples=()).operator_restarted()
    decision = case.decide()
    assert case.ready_word == "True/Serving"
    assert case.played == before
    assert decision.requeue_after_seconds is not None
    case.operator_up_for(60).idle().decide()
    assert case.ready_word == "False/Starting"


# --------------------------------------------------------------------------- pods in trouble


def test_a_pod_that_no_node_has_room_for() -> None:
    case = make_played()
    case.play_pod(
        ready=False, phase="Pending", unschedulable_message="0/3 nodes fit.", since=case.now
    )
    case.later(60).decide()
    assert case.ready_word == "False/Starting"
    case.later(61).decide()
    assert case.ready_word == "False/NoCapacity"
    assert case.word("Ready") == "True/Configured", "publishers can connect all the same"
    condition = case.condition("PlaybackReady")
    assert condition is not None
    assert "No node can run the play pod: 0/3 nodes fit." in condition.message


@pytest.mark.parametrize("waiting", ["ImagePullBackOff", "CrashLoopBackOff"])
def test_a_pod_that_cannot_start(waiting: str) -> None:
    case = make_played()
    case.play_pod(ready=False, waiting_reason=waiting, since=case.now).later(121).decide()
    assert case.ready_word == "False/PodFailing"


def test_a_pod_that_runs_between_two_crashes_is_failing_all_the_time() -> None:
    case = make_played()
    case.play_pod(
        ready=False, waiting_reason="CrashLoopBackOff", since=case.now, last_exit="exit code 1"
    )
    case.later(121).decide()
    case.play_pod(ready=False, last_exit="exit code 1").decide()
    assert case.ready_word == "False/PodFailing"


def test_a_configuration_that_the_pods_refuse() -> None:
    case = make_played().plays(config_error="The key is missing.")
    case.decide()
    assert case.ready_word == "False/PodFailing"
    case.on_air(timeline=SESSION).serves("play-2").decide()
    assert case.ready_word == "True/Serving", "another pod serves"


def test_a_foreign_child_stops_playback_and_not_the_stream() -> None:
    case = make_played().conflict("Secret", "playback")
    decision = case.decide()
    assert case.ready_word == "False/PodFailing"
    assert case.word("Stalled") == "True/NameConflict"
    names = {c.manifest["metadata"]["name"] for c in decision.children}
    assert "a-ingest" in names
    assert "a-play" not in names


def test_a_foreign_child_of_playback_does_not_concern_a_stream_without_it() -> None:
    case = make_livestream("a").key("k" * 32).settled().idle()
    case.conflict("Deployment", "play").decide()
    assert case.word("Ready") == "True/Configured"


# --------------------------------------------------------------------------- addresses


def test_the_urls_are_those_of_the_enabled_formats() -> None:
    prefix = "http://play.example.org/show/a/"
    assert playing().played == {
        "baseUrl": "http://play.example.org",
        "player": prefix,
        "screenshot": f"{prefix}screenshot.jpg",
        "hls": f"{prefix}index.m3u8",
        "dash": f"{prefix}index.mpd",
        "replicas": {"wanted": 1, "ready": 1},
        "windowSeconds": 12.0,
    }
    only_ts = playing(
        hls={"enabled": False}, dash={"enabled": False}, hlsMpegts={"enabled": True}
    ).played
    assert only_ts["hlsMpegts"] == f"{prefix}mpegts.m3u8"
    assert not {"hls", "dash"} & only_ts.keys()


def test_with_signed_access_no_url_looks_playable() -> None:
    played = playing(access="Signed").played
    assert played["baseUrl"] == "http://play.example.org"
    assert not {"player", "hls", "dash", "screenshot"} & played.keys()


def test_the_public_url_takes_precedence() -> None:
    case = playing().settings(edge=replace(EDGE, public_url="https://tv.example/live/"))
    case.decide()
    assert case.played["player"] == "https://tv.example/live/show/a/"


@pytest.mark.parametrize(
    ("settings", "service", "want"),
    [
        ({"public_host": "tv.example", "public_port": 8443}, None, "http://tv.example:8443"),
        (
            {"public_host": "192.0.2.1"},
            PublicService("NodePort", {"http": ServicePort(80, 30080)}),
            "http://192.0.2.1:30080",
        ),
        (
            {},
            PublicService(
                "LoadBalancer", {"http": ServicePort(80)}, load_balancer_host="2001:db8::1"
            ),
            "http://[2001:db8::1]",
        ),
    ],
)
def test_the_address_follows_from_settings_and_service(
    settings: dict[str, Any], service: PublicService | None, want: str
) -> None:
    case = playing().seen(edge=service).settings(edge=replace(EDGE, **settings))
    case.decide()
    assert case.played["baseUrl"] == want


@pytest.mark.parametrize(
    ("service", "words"),
    [
        (None, "Service sluice-edge of the edge is missing."),
        (replace(LOAD_BALANCER, load_balancer_host=None), "waits for its load balancer"),
        (PublicService("ClusterIP", {"http": ServicePort(80)}, name="x/edge"), "x/edge"),
    ],
)
def test_without_an_address_there_are_no_urls_and_the_cause_is_named(
    service: PublicService | None, words: str
) -> None:
    case = playing().seen(edge=service)
    decision = case.decide()
    assert case.ready_word == "False/EdgeAddressPending"
    condition = case.condition("PlaybackReady")
    assert condition is not None
    assert words in condition.message
    assert case.played.keys() == {"replicas", "windowSeconds"}
    assert decision.requeue_after_seconds == 15


def test_without_an_edge_nothing_runs_and_the_keys_stay() -> None:
    case = playing(replicas=2).settings(edge=None).seen(edge=None, edge_token=None)
    decision = case.decide()
    assert case.ready_word == "False/EdgeDisabled"
    assert case.played["replicas"]["wanted"] == 0
    assert case.child("Deployment", "play")["spec"]["replicas"] == 0
    assert "a-playback" in {c.manifest["metadata"]["name"] for c in decision.children}
    assert {d.kind for d in decision.deletions} == {"PodDisruptionBudget"}


# --------------------------------------------------------------------------- the window


def test_the_window_is_written_when_it_changes_by_ten_seconds_or_a_quarter() -> None:
    case = playing(dvrSeconds=120)
    written = []
    for seconds in (13.0, 15.5, 19.0, 22.0, 100.0, 109.0, 110.0, 118.0, 121.0, 119.0):
        case.serves(window_seconds=seconds).decide()
        written.append(case.played["windowSeconds"])
    assert written == [12.0, 15.5, 15.5, 22.0, 100.0, 100.0, 110.0, 110.0, 121.0, 121.0]


def test_the_largest_window_of_the_pods_is_shown() -> None:
    case = playing(replicas=2).serves("play-2", window_seconds=90.0)
    case.decide()
    assert case.played["windowSeconds"] == 90


def test_off_air_there_is_no_window() -> None:
    case = playing()
    case.finished(0, 60).serves().decide()
    assert "windowSeconds" not in case.played


# --------------------------------------------------------------------------- events


@pytest.mark.parametrize(
    ("facts", "want"),
    [
        ({"edge_answers": False, "edge_message": "The edge cannot be reached."}, "Warning"),
        ({"is_serving": False}, "Normal"),
    ],
)
def test_a_change_makes_an_event(facts: dict[str, Any], want: str) -> None:
    decision = playing().serves(**facts).decide()
    assert decision.event_reasons["PlaybackReady"] == want
