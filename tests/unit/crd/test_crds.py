"""The generated CustomResourceDefinitions: fresh, structural, described and bounded."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice_operator.api.v1alpha1 import KINDS
from sluice_operator.crd import crd_files, crd_manifest, lint, write_crds
from tests.support.crd_violations import violations

CRDS = Path(__file__).parents[3] / "crds"


def manifest(kind: str) -> Any:
    return copy.deepcopy(next(crd_manifest(m) for m in KINDS if m.crd.kind == kind))


def spec_of(crd: Any) -> Any:
    root = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return root["properties"]["spec"]["properties"]


def test_the_files_in_the_repository_are_what_the_models_give() -> None:
    checked_in = {path.name: path.read_text() for path in CRDS.glob("*.yaml")}
    assert checked_in == crd_files(), "run `make crds`"


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in write_crds(tmp_path / "one")]
    second = [path.read_bytes() for path in write_crds(tmp_path / "two")]
    assert first == second
    assert len(first) == len(KINDS)


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model.crd.kind)
def test_the_lint_has_nothing_to_say(model: Any) -> None:
    assert [str(finding) for finding in lint(crd_manifest(model))] == []


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model.crd.kind)
def test_names_and_columns(model: Any) -> None:
    crd = crd_manifest(model)
    version = crd["spec"]["versions"][0]
    assert crd["spec"]["names"]["categories"] == ["sluice"]
    assert crd["spec"]["scope"] == "Namespaced"
    assert version["subresources"] == {"status": {}}
    assert [c["name"] for c in version["additionalPrinterColumns"] if "priority" not in c] == {
        "LiveStream": [
            "Ready",
            "Live",
            "Source",
            "Recording",
            "Recording_Duration",
            "Restreams",
            "Age",
        ],
        "Recording": ["Stream", "Phase", "Recording_Duration", "Size", "Files", "Age"],
        "Restream": ["Stream", "Target", "Live", "State", "Age"],
        "MediaStore": ["Ready", "Location", "Used", "Limit", "Age"],
    }[model.crd.kind]


def test_playback_is_a_column_of_the_wide_table() -> None:
    [version] = manifest("LiveStream")["spec"]["versions"]
    wide = [c["name"] for c in version["additionalPrinterColumns"] if c.get("priority")]
    assert wide == ["Reason", "Playback"]


def test_short_names() -> None:
    assert {m.crd.kind: m.crd.short_name for m in KINDS} == {
        "LiveStream": "lvs",
        "Recording": "rec",
        "Restream": "rst",
        "MediaStore": "mst",
    }


def test_yaml_is_read_back_as_what_was_written() -> None:
    for text in crd_files().values():
        crd = yaml.load(text, yaml.CSafeLoader)
        assert crd in [crd_manifest(model) for model in KINDS]
        assert "&id" not in text


def test_a_quantity_is_integer_or_string() -> None:
    limits = spec_of(manifest("LiveStream"))["workload"]["properties"]["resources"]["properties"][
        "limits"
    ]
    assert limits["maxProperties"] == 8
    assert limits["additionalProperties"]["x-kubernetes-int-or-string"] is True
    assert "type" not in limits["additionalProperties"]


def test_an_optional_field_has_no_null_alternative() -> None:
    uri = spec_of(manifest("Restream"))["uri"]
    assert uri["type"] == "string"
    assert "anyOf" not in uri
    assert "default" not in uri


BROKEN = {
    "has no description": lambda f: f["title"].pop("description"),
    "has no maxLength": lambda f: f["title"].pop("maxLength"),
    "has no maxItems": lambda f: f["source"]["properties"]["push"]["properties"]["protocols"].pop(
        "maxItems"
    ),
    "has no x-kubernetes-list-type": lambda f: f["source"]["properties"]["push"]["properties"][
        "protocols"
    ].pop("x-kubernetes-list-type"),
    "has no minimum or no maximum": lambda f: f["resumeWindowSeconds"].pop("maximum"),
    "is a float in spec": lambda f: f["resumeWindowSeconds"].update(type="number"),
    "anyOf is not structural": lambda f: f["title"].update(anyOf=[]),
    "has no type": lambda f: f["title"].pop("type"),
    "has neither properties nor additionalProperties": lambda f: f["failover"].pop("properties"),
}


@pytest.mark.parametrize("words", BROKEN)
def test_the_lint_finds(words: str) -> None:
    crd = manifest("LiveStream")
    BROKEN[words](spec_of(crd))
    assert words in {finding.what for finding in lint(crd)}


def test_a_word_in_status_is_no_enum() -> None:
    """A newer operator writes new words while older definitions are installed."""
    crd = manifest("Restream")
    root = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    status = root["properties"]["status"]["properties"]
    assert "enum" not in status["state"]
    assert "GaveUp" in status["state"]["description"]
    status["state"]["enum"] = ["Idle"]
    assert [str(finding) for finding in lint(crd)] == ["status.state: is an enum in status"]


def test_pulling_is_given_up_later_than_a_source_is_left() -> None:
    pull = spec_of(manifest("LiveStream"))["source"]["properties"]["pull"]
    assert [r["rule"] for r in pull["x-kubernetes-validations"]] == [
        "self.inactivitySeconds > self.stallSeconds"
    ]


def test_only_what_works_can_be_asked_for() -> None:
    spec = spec_of(manifest("Recording"))
    template = spec_of(manifest("LiveStream"))["recordingTemplate"]["properties"]
    assert spec["recordType"]["enum"] == template["recordType"]["enum"] == ["Origin"]


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model.crd.kind)
def test_a_fresh_object_does_not_read_as_current(model: Any) -> None:
    """kstatus: an observedGeneration that is not the generation means that it is in progress."""
    root = crd_manifest(model)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    status = root["properties"]["status"]
    assert status["default"] == {"observedGeneration": -1}
    assert violations(status, status["default"], "status") == []
