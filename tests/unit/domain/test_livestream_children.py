"""LiveStream: its keys, their addresses, and the configuration of its pod."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from dataclasses import dataclass, replace
from typing import Any

import pytest

from sluice_operator.domain.decision import Decision
from sluice_operator.domain.observed import PublicPorts, PublicService, ServicePort
from tests.unit.domain.builders import (
    StreamCase,
    make_livestream,
)
from tests.unit.domain.lifecycle import settled


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
    # Nothing causes a pass when the address arrives.
    assert decision.requeue_after_seconds == (None if case.want else pytest.approx(15))


EVERYWHERE = PublicService(
    "LoadBalancer",
    {"rtmp": ServicePort(1935), "rtmps": ServicePort(443)},
    "198.51.100.7",
)
SRT = PublicService("LoadBalancer", {"srt": ServicePort(9710)}, "198.51.100.9")
WHIP = PublicService("LoadBalancer", {"http": ServicePort(8080)}, "198.51.100.8")


def reachable(case: StreamCase) -> StreamCase:
    """Give addresses to gateway and WHIP."""
    case.settings(gateway_public_host="", gateway_public_ports=PublicPorts())
    case.facts |= {"gateway": EVERYWHERE, "gateway_srt": SRT, "whip": WHIP}
    return case


def test_the_values_for_encoders_of_every_protocol() -> None:
    case = reachable(make_livestream("a").key("abc", backup="xyz"))
    assert secret(case.decide(), "a-ingest") == {
        "token": "abc",
        "streamKey": "a?abc",
        "rtmpServer": "rtmp://198.51.100.7:1935/show",
        "rtmpUrl": "rtmp://198.51.100.7:1935/show/a?abc",
        "rtmpsServer": "rtmps://198.51.100.7:443/show",
        "rtmpsUrl": "rtmps://198.51.100.7:443/show/a?abc",
        "srtUrl": "srt://198.51.100.9:9710?streamid=show/a?abc",
        "srtStreamId": "show/a?abc",
        "whipUrl": "http://198.51.100.8:8080/whip/show/a",
        "whipToken": "abc",
        "backupToken": "xyz",
        "backupStreamKey": "a?xyz",
        "backupRtmpServer": "rtmp://198.51.100.7:1935/show",
        "backupRtmpUrl": "rtmp://198.51.100.7:1935/show/a?xyz",
        "backupRtmpsServer": "rtmps://198.51.100.7:443/show",
        "backupRtmpsUrl": "rtmps://198.51.100.7:443/show/a?xyz",
        "backupSrtUrl": "srt://198.51.100.9:9710?streamid=show/a?xyz",
        "backupSrtStreamId": "show/a?xyz",
    }
    assert case.status["ingest"] == {
        "secretName": "a-ingest",
        "rtmp": "rtmp://198.51.100.7:1935/show/a",
        "rtmps": "rtmps://198.51.100.7:443/show/a",
        "srt": "srt://198.51.100.9:9710?streamid=show/a",
        "whip": "http://198.51.100.8:8080/whip/show/a",
    }


def test_a_key_of_the_users_own_is_encoded_where_it_would_end_the_stream_id() -> None:
    case = reachable(make_livestream("a").key("a&b+c#d%e"))
    values = secret(case.decide(), "a-ingest")
    assert values["srtUrl"] == "srt://198.51.100.9:9710?streamid=show/a?a%26b%2Bc%23d%25e"
    assert values["srtStreamId"] == "show/a?a&b+c#d%e"


def test_whip_behind_a_proxy_that_terminates_tls() -> None:
    case = reachable(make_livestream("a")).settings(whip_public_url="https://live.example.org/")
    assert secret(case.decide(), "a-ingest")["whipUrl"] == "https://live.example.org/whip/show/a"


def test_only_protocols_that_are_allowed_have_an_address() -> None:
    case = reachable(make_livestream("a").push(protocols=["SRT"]).key("abc"))
    values = secret(case.decide(), "a-ingest")
    assert {key for key in values if "Url" in key} == {"srtUrl", "backupSrtUrl"}
    assert set(case.status["ingest"]) == {"secretName", "srt"}


def test_a_stream_that_allows_only_what_has_no_address_waits_for_one() -> None:
    case = settled().push(protocols=["WHIP"])
    case.idle().decide()
    case.idle().decide()
    assert case.word("Ready") == "True/AddressPending"


REFUSED = PublicService(
    "LoadBalancer",
    {"srt": ServicePort(9710)},
    name="sluice-system/sluice-gateway-srt",
    last_event="SyncLoadBalancerFailed: UDP is not supported",
)


def test_srt_without_an_address_keeps_rtmp_and_names_the_cause() -> None:
    case = reachable(settled())
    case.facts["gateway_srt"] = REFUSED
    decision = case.idle().decide()
    assert case.word("Ready") == "True/Configured"
    ready = case.condition("Ready")
    assert ready is not None
    assert ready.message == (
        "Set up as specified. No address yet for SRT: Service sluice-system/sluice-gateway-srt "
        "waits for its load balancer, whose last event is: "
        "SyncLoadBalancerFailed: UDP is not supported"
    )
    assert "srt" not in case.status["ingest"]
    assert case.status["ingest"]["rtmp"] == "rtmp://198.51.100.7:1935/show/a"
    assert decision.requeue_after_seconds == pytest.approx(15)
    case.facts["gateway_srt"] = SRT
    case.idle().decide()
    assert case.status["ingest"]["srt"] == "srt://198.51.100.9:9710?streamid=show/a"


def test_without_any_address_the_services_last_events_are_quoted() -> None:
    waiting = replace(EVERYWHERE, load_balancer_host=None, name="sluice-system/sluice-gateway")
    case = settled().settings(gateway_public_host="").push(protocols=["RTMP", "RTMPS", "SRT"])
    case.facts |= {"gateway": waiting, "gateway_srt": REFUSED}
    case.idle().decide()
    case.idle().decide()
    assert case.word("Ready") == "True/AddressPending"
    ready = case.condition("Ready")
    assert ready is not None
    for words in (
        "No address yet for RTMP and RTMPS: Service sluice-system/sluice-gateway waits",
        "No address yet for SRT: Service sluice-system/sluice-gateway-srt waits",
        "SyncLoadBalancerFailed: UDP is not supported",
    ):
        assert words in ready.message


def test_the_host_of_rtmp_is_not_taken_for_that_of_srt() -> None:
    """Each load balancer has its own address, whatever name the other one has."""
    case = reachable(make_livestream("a")).settings(gateway_public_host="live.example.org")
    case.decide()
    assert case.status["ingest"]["rtmp"].startswith("rtmp://live.example.org:")
    assert case.status["ingest"]["srt"].startswith("srt://198.51.100.9:")


def test_switching_the_backup_off_and_on_again_keeps_its_key_and_its_pod() -> None:
    case = settled()
    before = case.template_hash()
    case.push(backup={"enabled": False})
    values = secret(case.decide(), "a-ingest")
    assert values["backupToken"] == "s" * 32
    assert not [key for key in values if key.startswith("backup") and key != "backupToken"]
    assert config(case)["backup"] is False
    assert case.template_hash() == before
    case.push()
    assert secret(case.decide(), "a-ingest")["backupStreamKey"] == f"a?{'s' * 32}"


# --------------------------------------------------------------------------- the pod


def mounted(case: StreamCase, folder: str) -> Any:
    [template] = [case.child("Deployment")["spec"]["template"]["spec"]]
    return next((v for v in template["volumes"] if v["name"] == f"key-{folder}"), None)


def test_a_passphrase_is_mounted_and_its_absence_does_not_keep_the_pod_from_starting() -> None:
    ref = {"name": "uplink", "key": "passphrase"}
    case = make_livestream("a").push(srt={"passphraseSecretRef": ref, "latencyMilliseconds": 300})
    case.decide()
    assert mounted(case, "srt")["secret"]["optional"] is True
    assert config(case)["srtPassphrase"] is True
    assert config(case)["srtLatencyMilliseconds"] == 300


@dataclass(slots=True, frozen=True)
class MissingCase:
    why: str
    case: StreamCase
    want: str


@pytest.mark.parametrize(
    "missing",
    [
        MissingCase(
            "a passphrase",
            make_livestream("a").push(
                srt={"passphraseSecretRef": {"name": "uplink", "key": "passphrase"}}
            ),
            "Not there. Looked for: key passphrase of Secret uplink.",
        ),
        MissingCase(
            "a source",
            make_livestream("a").pull("rtmp://a.example/x", ("sat", "uri"), ("sat", "uri")),
            "Not there. Looked for: key uri of Secret sat.",
        ),
    ],
    ids=lambda missing: missing.why,
)
def test_a_users_secret_without_the_key_is_stalled(
    missing: MissingCase,
) -> None:
    case = missing.case.settled()
    words = {"config_error_reason": "SecretKeyMissing", "config_error": "Not there."}
    case.idle(**words).decide()
    assert case.word("Ready") == "False/SecretKeyMissing"
    stalled = case.condition("Stalled")
    assert stalled is not None
    assert stalled.message == missing.want
    case.idle().decide()
    assert case.word("Ready").startswith("True/")


def test_a_pulled_stream_has_no_key_of_a_publisher() -> None:
    case = make_livestream("a").pull("rtmp://a.example/x").conflict("Secret", "ingest")
    case.settled().idle().decide()
    assert case.word("Ready") == "True/Configured", (
        "a foreign Secret does not disturb a pulled stream"
    )
    assert case.child("Secret", "ingest") is None
    assert mounted(case, "ingest") is None
    assert config(case)["protocols"] == []
    assert config(case)["backup"] is False


def test_a_pod_may_pull_from_where_the_installation_lets_it() -> None:
    case = make_livestream("a").pull("rtmp://a.example/x", ("sat", "uri"))
    case.settings(denied_ranges=("10.0.0.0/8",), allowed_ranges=("10.1.0.0/16",)).decide()
    pull = config(case)["pull"]
    assert pull["uris"] == ["rtmp://a.example/x", None]
    guard = pull["guard"]
    assert (guard["denied"], guard["allowed"]) == (["10.0.0.0/8"], ["10.1.0.0/16"])
    assert (guard["allowedNames"], guard["clusterDomain"]) == ([], "cluster.local")
    assert mounted(case, "pull")["secret"]["items"] == [{"key": "uri", "path": "1"}]


def test_a_backup_that_is_connected_keeps_the_pod_from_being_replaced() -> None:
    case = settled().idle(backup_connected=True).settings(media_image="sluice-media:next")
    case.decide()
    assert case.word("UpdatePending") == "True/WaitingForIdle"


def test_the_patience_with_a_pod_in_trouble_is_a_setting() -> None:
    case = make_livestream("a").settings(pod_trouble_seconds=600.0)
    case.decide()
    case.pod(ready=False, phase="Pending", unschedulable_message="no node", since=case.now)
    case.later(500).decide()
    assert case.word("Stalled") == ""
    case.later(101).decide()
    assert case.word("Stalled") == "True/Unschedulable"


def test_every_key_in_the_secret_is_one_that_a_secret_can_have() -> None:
    values = secret(reachable(make_livestream("a")).decide(), "a-ingest")
    assert all(re.fullmatch(r"[a-zA-Z]+", key) for key in values)
