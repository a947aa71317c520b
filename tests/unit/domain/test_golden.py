"""Whole objects: what a first pass over ``golden/<kind>.in.yaml`` decides.

After a change on purpose: ``SLUICE_UPDATE_GOLDEN=1 python -m pytest tests/unit/domain``, and read
the difference.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice_operator.domain import mediastore
from sluice_operator.domain.decision import Decision
from sluice_operator.domain.livestream import decide as livestream
from sluice_operator.domain.observed import (
    ObservedLiveStream,
    ObservedMediaStore,
    ObservedPlayback,
    ObservedRecording,
    ObservedRestream,
)
from sluice_operator.domain.recording import decide as recording
from sluice_operator.domain.restream import decide as restream
from tests.unit.domain.builders import NOW, SETTINGS
from tests.unit.domain.playback_cases import EDGE, LOAD_BALANCER

GOLDEN = Path(__file__).parent / "golden"
KINDS = [
    "livestream",
    "pulled",
    "played",
    "recording",
    "automatic",
    "restream",
    "mediastore",
    "bucket",
]


def load(kind: str) -> Any:
    return yaml.safe_load((GOLDEN / f"{kind}.in.yaml").read_text())


def decided(kind: str) -> Decision:
    raw = load(kind)
    match kind:
        case "livestream" | "pulled":
            return livestream.decide(
                ObservedLiveStream(
                    raw=raw,
                    settings=SETTINGS,
                    fresh_token="11" * 16,
                    fresh_backup_token="44" * 16,
                    fresh_hub_token="22" * 16,
                ),
                NOW,
            )
        case "played":
            playback = ObservedPlayback(
                fresh_key="55" * 32, edge=LOAD_BALANCER, edge_token="66" * 32
            )
            return livestream.decide(
                ObservedLiveStream(
                    raw=raw,
                    settings=replace(SETTINGS, edge=EDGE),
                    fresh_token="11" * 16,
                    fresh_backup_token="44" * 16,
                    fresh_hub_token="22" * 16,
                    playback=playback,
                ),
                NOW,
            )
        case "recording" | "automatic":
            observed = ObservedRecording(
                raw=raw,
                settings=SETTINGS,
                stream=load("livestream"),
                hub_token="22" * 16,
                store=load("mediastore" if kind == "recording" else "bucket"),
            )
            return recording.decide(observed, NOW)
        case "restream":
            return restream.decide(
                ObservedRestream(
                    raw=raw, settings=SETTINGS, stream=load("livestream"), hub_token="22" * 16
                ),
                NOW,
            )
        case _:
            observed_store = ObservedMediaStore(raw=raw, settings=SETTINGS, fresh_token="33" * 16)
            return mediastore.decide(observed_store, NOW)


def readable(decision: Decision) -> str:
    """Return children, status and conditions as YAML, with the JSON configuration expanded."""
    children = []
    for child in decision.children:
        manifest = json.loads(json.dumps(child.manifest))
        if manifest["kind"] == "ConfigMap":
            manifest["data"] = {k: json.loads(v) for k, v in manifest["data"].items()}
        children.append(
            {"createOnly": child.create_only, "owned": child.owned, "manifest": manifest}
        )
    conditions = [
        {"type": c.type, "status": c.status, "reason": c.reason, "message": c.message}
        for c in decision.conditions
    ]
    document = {
        "children": children,
        "finalizer": decision.finalizer,
        "status": dict(decision.status),
        "conditions": conditions,
    }
    plain = json.loads(json.dumps(document))  # reasons are enums
    return yaml.safe_dump(plain, sort_keys=False, width=100)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_pass_makes_exactly_these_objects(kind: str) -> None:
    want = GOLDEN / f"{kind}.out.yaml"
    got = readable(decided(kind))
    if os.environ.get("SLUICE_UPDATE_GOLDEN"):
        want.write_text(got)
    assert got == want.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_equal_facts_give_equal_decisions(kind: str) -> None:
    assert decided(kind) == decided(kind)
