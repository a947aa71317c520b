"""A stored spec that this version cannot read is Stalled, and nothing is changed."""

from __future__ import annotations

from typing import Any

import pytest

from sluice_operator.domain.invalid_spec import InvalidSpecError
from tests.unit.domain.builders import (
    Case,
    make_livestream,
    make_mediastore,
    make_recording,
    make_restream,
)

CASES: list[tuple[Any, dict[str, Any], str]] = [
    (make_livestream, {"resumeWindowSeconds": 9_999}, "spec.resumeWindowSeconds"),
    (make_recording, {"splitSeconds": 1}, "spec.splitSeconds"),
    (make_recording, {"recordType": "Transcoded"}, "spec.recordType"),
    (make_restream, {"title": "x" * 999}, "spec.title"),
    (make_mediastore, {"warnAtPercent": 0}, "spec.warnAtPercent"),
]


@pytest.mark.parametrize(("make", "spec", "where"), CASES, ids=lambda value: str(value)[:24])
def test_it_says_what_is_wrong_and_where(make: Any, spec: dict[str, Any], where: str) -> None:
    case: Case[Any] = make("x")
    case.decide()
    case.spec(**spec)
    with pytest.raises(InvalidSpecError) as caught:
        case.decide()
    decision = caught.value.decision(case.raw)
    conditions = {c.type: c for c in decision.conditions}
    assert (conditions["Ready"].status, conditions["Ready"].reason) == ("False", "InvalidSpec")
    stalled = conditions["Stalled"]
    assert stalled.message.startswith(f"{case.kind} x was stored by another version of Sluice")
    assert where in stalled.message
    assert (decision.children, decision.deletions, decision.store_calls) == ((), (), ())
    assert decision.event_reasons == {"Stalled": "Warning"}
    assert "Reconciling" not in conditions
    assert decision.status["observedGeneration"] == case.raw["metadata"]["generation"] == 2


def test_the_value_that_was_found_is_not_repeated() -> None:
    case = make_livestream("x").spec(title="secret" * 90)
    with pytest.raises(InvalidSpecError) as caught:
        case.decide()
    assert "secret" not in str(caught.value)


def test_a_recording_of_a_stream_that_cannot_be_read_names_the_stream() -> None:
    stream = make_livestream("a").spec(resumeWindowSeconds=9_999)
    with pytest.raises(InvalidSpecError, match="LiveStream a was stored"):
        make_recording("r", stream).decide()


def test_a_finalizer_stays_until_the_object_is_deleted() -> None:
    case = make_recording("r").spec(splitSeconds=1)
    case.raw["metadata"]["finalizers"] = ["sluice.video/recording"]
    with pytest.raises(InvalidSpecError) as caught:
        case.decide()
    assert caught.value.decision(case.raw).finalizer
    assert not caught.value.decision(case.deleted().raw).finalizer
