"""A pass over a world that did not change writes nothing, also after an operator's restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sluice_media.contract import PushState, RecorderPhase, TargetError
from tests.unit.domain.builders import (
    Case,
    make_livestream,
    make_mediastore,
    make_recording,
    make_restream,
    recorded_file,
)


def idle_stream() -> Case[Any]:
    case = make_livestream("a").key("k")
    case.settled().idle()
    return case


def stream_on_air() -> Case[Any]:
    case = make_livestream("a").key("k")
    case.settled().on_air(since=2)
    return case


def stream_on_air_whose_update_waits() -> Case[Any]:
    case = make_livestream("a").key("k")
    case.settled().on_air(since=2).decide()
    return case.settings(media_image="sluice-media:next")


def waiting_recording() -> Case[Any]:
    case = make_recording("r")
    case.settled().recorder(RecorderPhase.WAITING)
    return case


def running_recording() -> Case[Any]:
    case = make_recording("r")
    case.settled().recorder(RecorderPhase.RECORDING, recorded_file(seconds=33.3))
    return case


def finished_recording() -> Case[Any]:
    case = make_recording("r")
    case.settled()
    case.recorder(RecorderPhase.DONE, recorded_file(state="Finalizing"), end_reason="Stopped")
    case.decide()
    return case.stored("Done", recorded_file(state="Ready", seconds=9, size_bytes=1))


def live_restream() -> Case[Any]:
    case = make_restream("x")
    case.settled().pusher(PushState.LIVE)
    return case


def refused_restream() -> Case[Any]:
    case = make_restream("x")
    words = {"class": "BadName", "message": "no such key", "at": case.now}
    case.settled().pusher(PushState.REJECTED, last_error=TargetError.model_validate(words))
    return case


def orphaned_restream() -> Case[Any]:
    case = make_restream("x").stream_deleted()
    case.decide()
    return case.later(61)


def full_store() -> Case[Any]:
    case = make_mediastore("default").own_claim()
    case.settled().store(used_bytes=5, available_bytes=0)
    return case


WORLDS: list[Callable[[], Case[Any]]] = [
    idle_stream,
    stream_on_air,
    stream_on_air_whose_update_waits,
    waiting_recording,
    running_recording,
    finished_recording,
    live_restream,
    refused_restream,
    orphaned_restream,
    full_store,
]


@pytest.mark.parametrize("make", WORLDS, ids=lambda make: make.__name__)
def test_without_news_nothing_is_written(make: Callable[[], Case[Any]]) -> None:
    case = make()
    case.decide()
    case.decide()
    before, children = case.raw["status"], case.facts["children"]
    decision = case.later(3).decide()
    assert case.raw["status"] == before
    assert case.facts["children"] == children
    assert (decision.deletions, decision.pod_config_hashes) == ((), ())


@pytest.mark.parametrize("make", WORLDS, ids=lambda make: make.__name__)
def test_an_operator_that_comes_back_writes_nothing(make: Callable[[], Case[Any]]) -> None:
    case = make()
    case.decide()
    case.decide()
    before, children = case.raw["status"], case.facts["children"]
    sample = case.facts["sample"]
    decision = case.later(300).operator_restarted().decide()
    assert case.raw["status"] == before
    assert case.facts["children"] == children
    assert (decision.deletions, decision.pod_config_hashes) == ((), ())
    case.facts["sample"] = sample
    case.operator_up_for(2).decide()
    assert case.raw["status"] == before
