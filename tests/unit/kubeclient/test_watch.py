"""kopf as a pure watch engine: it writes nothing to anybody's objects."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import kopf
import pytest
from kopf._cogs.clients import fetching, watching
from kopf._cogs.structs import references

from sluice_operator.engine.resync import Watched
from sluice_operator.handlers.watch import lists_reported, watch_registry, watch_settings
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


async def test_a_list_without_objects_is_a_list_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything was deleted while the watch was away: the new list is empty, and no object of it
    says that there was one. What was cached stood there until the next resync, ten minutes later.
    """

    async def no_objects(**_: Any) -> AsyncIterator[tuple[list[Any], str]]:
        yield [], "100"

    async def too_old(**_: Any) -> AsyncIterator[Any]:
        yield {"type": "ERROR", "object": {"code": 410}}

    monkeypatch.setattr(fetching, "fetch_objs", no_objects)
    monkeypatch.setattr(watching, "watch_objs", too_old)
    settings = watch_settings(WATCHED)
    settings.watching.reconnect_backoff = 0
    listed = 0

    def on_listed() -> None:
        nonlocal listed
        listed += 1

    async def watch(plural: str) -> None:
        resource = references.Resource("sluice.video", "v1alpha1", plural)
        stream = watching.infinite_watch(
            settings=settings, resource=resource, namespace=None, _iterations=3
        )
        assert [event async for event in stream] == [watching.Bookmark.LISTED] * 3

    with lists_reported(WATCHED, on_listed):
        await watch("livestreams")
        assert listed == 3
        await watch("of-somebody-else")
    await watch("livestreams")
    assert listed == 3
