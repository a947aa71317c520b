"""Settings of the pull from a configuration and its keys, and the faults of the keys."""

from __future__ import annotations

from pydantic import SecretStr

from sluice_media.contract import IngestConfig, PullConfig
from sluice_media.pull import PullSettings, pull_error, pull_settings

CAMERA = "rtsps://camera.example/stream1"


def settings(keys: dict[str, str], **pull: object) -> PullSettings:
    config = IngestConfig(
        namespace="ns", name="a", uid="u", generation=3, pull=PullConfig.model_validate(pull)
    )

    def key(file: str) -> SecretStr | None:
        return SecretStr(keys[file]) if file in keys else None

    found = pull_settings(config, key)
    assert found is not None
    return found


def test_a_missing_uri_is_named_by_its_number() -> None:
    found = settings({"pull/2": CAMERA}, uris=[CAMERA, None, None])
    assert pull_error(found) == (
        "SecretKeyMissing",
        "The Secret does not have the URI of source 2.",
    )


def test_sources_without_an_authority_of_their_own_need_none() -> None:
    found = settings({}, uris=[CAMERA, CAMERA])
    assert found.authorities == {}
    assert pull_error(found) is None


def test_a_missing_authority_is_reported_by_its_number() -> None:
    found = settings({}, uris=[CAMERA, CAMERA], withCa=[1])
    assert found.authorities == {1: None}
    assert pull_error(found) == (
        "SecretKeyMissing",
        "The Secret does not have the CA certificate of source 2.",
    )


def test_an_invalid_certificate_is_reported_without_quoting_it() -> None:
    for content in ("", "canary", "Zertifizierungsstelle für Kameras"):
        error = pull_error(settings({"pullca/0": content}, uris=[CAMERA], withCa=[0]))
        assert error is not None
        assert error[0] == "InvalidCertificate"
        assert "Source 1: " in error[1]
        assert not content or content not in error[1]


def test_a_request_for_tries_is_the_generation_and_the_restart() -> None:
    found = settings({}, uris=[CAMERA], restart="x", givenUp=True)
    assert (found.request.generation, found.request.restart, found.given_up) == (3, "x", True)
