"""Another Secret of the user, named while the stream is on air. The pod is not restarted. Until it
is replaced, its configuration names the keys that it has mounted."""

from __future__ import annotations

import json
from typing import Any

from sluice_operator.domain.manifests.pod import users_keys
from tests.unit.domain.builders import StreamCase, make_livestream
from tests.unit.domain.lifecycle import settled


def config(case: StreamCase) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(case.child("ConfigMap")["data"]["config.json"])
    return found


def test_a_secret_that_is_named_on_air_waits_until_the_stream_is_idle() -> None:
    case = settled().on_air()
    case.decide()
    case.push(srt={"passphraseSecretRef": {"name": "uplink", "key": "passphrase"}})
    case.on_air().decide()
    assert case.word("UpdatePending") == "True/WaitingForIdle"
    assert case.child("Deployment")["spec"]["paused"] is True
    assert config(case)["srtPassphrase"] is False, "the pod has not mounted it"
    case.on_air().decide()
    assert case.word("Ready") == "True/Configured"
    case.idle().decide()
    assert (config(case)["drain"], config(case)["srtPassphrase"]) == (True, False)
    case.idle().decide()
    assert case.child("Deployment")["spec"]["paused"] is False
    assert config(case)["srtPassphrase"] is True, "the next pod has it"
    case.pod("pod-2").idle().decide()
    assert case.word("UpdatePending") == "False/UpToDate"
    assert config(case)["srtPassphrase"] is True


def test_immediate_is_the_users_way_to_a_secret_on_air() -> None:
    case = settled().spec(updatePolicy="Immediate").on_air()
    case.decide()
    case.push(srt={"passphraseSecretRef": {"name": "uplink", "key": "passphrase"}})
    case.on_air().decide()
    assert case.word("UpdatePending") == "False/RollingOut"
    assert case.child("Deployment")["spec"]["paused"] is False
    assert config(case)["srtPassphrase"] is True


def test_the_source_on_air_keeps_the_index_of_its_file() -> None:
    """Sources are files by their index: another one in front would be read from the wrong file."""
    case = make_livestream("a").pull(("sat", "uri"), "rtmp://a.example/x", stallSeconds=3)
    case.settled().pulling().decide()
    case.pull(("new", "uri"), ("sat", "uri"), stallSeconds=9).pulling().decide()
    assert case.word("UpdatePending") == "True/WaitingForIdle"
    pull = config(case)["pull"]
    assert (pull["uris"], pull["stallSeconds"]) == ([None, "rtmp://a.example/x"], 9)
    case.settings(media_image="sluice-media:next").pulling().decide()
    assert config(case)["pull"]["uris"] == [None, "rtmp://a.example/x"]
    case.idle().decide()
    case.idle().decide()
    assert config(case)["pull"]["uris"] == [None, None]


def test_sources_without_secrets_change_at_once_also_while_an_update_waits() -> None:
    case = make_livestream("a").pull(("sat", "uri"), "rtmp://a.example/x")
    case.settled().pulling().decide()
    case.settings(media_image="sluice-media:next").pulling().decide()
    case.pull(("sat", "uri"), "rtmp://b.example/x").pulling().decide()
    assert case.word("UpdatePending") == "True/WaitingForIdle"
    assert config(case)["pull"]["uris"] == [None, "rtmp://b.example/x"]


def test_the_mounted_keys_are_read_from_the_volumes() -> None:
    uris = [source("sat"), source("dish"), source("sat", "second")]
    case = make_livestream("a").spec(source={"pull": {"uris": uris}})
    case.decide()
    volumes = case.child("Deployment")["spec"]["template"]["spec"]["volumes"]
    want = {("pull/0", "sat", "uri"), ("pull/1", "dish", "uri"), ("pull/2", "sat", "second")}
    assert users_keys(volumes) == want
    token = {"serviceAccountToken": {"path": "token"}}
    injected = [
        {"name": "aws-token", "projected": {"sources": [token]}},
        {"name": "mesh", "secret": {"secretName": "mesh", "optional": True}},
    ]
    assert users_keys([*volumes, *injected]) == want


def source(secret: str, key: str = "uri") -> dict[str, Any]:
    return {"uriSecretRef": {"name": secret, "key": key}}
