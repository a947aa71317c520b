"""kopf as a pure watch engine: it writes nothing to anybody's objects."""

from __future__ import annotations

import itertools
from typing import Any

import kopf
import pytest

from sluice_operator.engine.resync import Watched
from sluice_operator.handlers.watch import watch_registry, watch_settings
from sluice_operator.kube.resources import LIVE_STREAMS, PODS

WATCHED = (Watched(LIVE_STREAMS), Watched(PODS, "a=b"))


def test_kopf_neither_posts_nor_peers_nor_scans() -> None:
    settings = watch_settings(WATCHED)
    assert settings.peering.standalone
    assert settings.scanning.disabled
    assert not settings.posting.enabled
    assert settings.queueing.worker_limit is None
    assert settings.watching.chunk_size == 500


def test_only_pods_of_ours_are_watched() -> None:
    settings = watch_settings(WATCHED)
    selectors = {str(s): v for s, v in settings.watching.label_selectors.items()}
    assert list(selectors.values()) == ["a=b"]
    assert "pods" in next(iter(selectors))


def test_an_api_server_that_is_away_is_waited_for_without_end() -> None:
    backoffs = watch_settings(WATCHED).networking.error_backoffs
    assert not isinstance(backoffs, float | int)
    assert list(itertools.islice(backoffs, 8)) == [1, 2, 4, 8, 16, 30, 30, 30]
    assert next(iter(backoffs)) == 1, "each request begins anew"


@pytest.mark.parametrize(
    ("event_type", "want"),
    [
        (None, ["seen", "listed"]),
        ("ADDED", ["seen"]),
        ("MODIFIED", ["seen"]),
        ("DELETED", ["gone"]),
    ],
)
async def test_events_are_handed_on(event_type: Any, want: list[str]) -> None:
    heard: list[str] = []
    registry = watch_registry(
        WATCHED,
        lambda obj: heard.append("seen"),
        lambda obj: heard.append("gone"),
        lambda: heard.append("listed"),
    )
    (handler, *_) = registry._watching.get_all_handlers()
    event: Any = {"type": event_type, "object": {"kind": "LiveStream"}}
    handle: Any = handler.fn
    assert await handle(event=event, memo=kopf.Memo()) is None
    assert heard == want
