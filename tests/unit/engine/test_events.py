"""Events: counted up instead of posted again, never in anybody's way."""

from __future__ import annotations

import asyncio
from typing import Any

from sluice_operator.engine.events import EventRecorder
from sluice_operator.kube.errors import ForbiddenError
from tests.support.engine_fakes import FakeApi, settle
from tests.unit.engine.builders import Engine, make_livestream


def posted(api: FakeApi) -> list[dict[str, Any]]:
    return [obj for (kind, _, _), obj in api.objects.items() if kind == "Event"]


async def post(engine: Engine, *texts: str) -> None:
    about = engine.api.objects.get(("LiveStream", "ns", "show")) or engine.api.put(
        make_livestream()
    )
    posting = asyncio.ensure_future(engine.events.run())
    for text in texts:
        engine.events.record(about, "Warning", "Broken", text)
    await settle()
    posting.cancel()


async def test_an_event_names_its_object() -> None:
    engine = Engine()
    await post(engine, "words")
    (event,) = posted(engine.api)
    assert event["involvedObject"] == {
        "apiVersion": "sluice.video/v1alpha1",
        "kind": "LiveStream",
        "namespace": "ns",
        "name": "show",
        "uid": engine.api.objects["LiveStream", "ns", "show"]["metadata"]["uid"],
    }
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "Broken", "words")
    assert event["source"]["component"] == "sluice-operator"


async def test_the_same_event_is_counted_up() -> None:
    engine = Engine()
    await post(engine, "words", "words", "words", "others")
    assert [e["count"] for e in posted(engine.api)] == [3, 1]


async def test_an_event_that_expired_is_posted_anew() -> None:
    engine = Engine()
    await post(engine, "words")
    engine.api.drop("Event", posted(engine.api)[0]["metadata"]["name"])
    await post(engine, "words")
    assert [e["count"] for e in posted(engine.api)] == [1]


async def test_a_refused_event_is_dropped_and_counted() -> None:
    engine = Engine()
    engine.api.fail = lambda verb, kind, name: ForbiddenError("no") if kind == "Event" else None
    await post(engine, "words")
    assert engine.metrics.events_dropped._value.get() == 1
    engine.api.fail = lambda verb, kind, name: None
    await post(engine, "others")
    assert [e["message"] for e in posted(engine.api)] == ["others"]


async def test_too_many_events_never_block() -> None:
    engine = Engine()
    about = engine.api.put(make_livestream())
    for number in range(1_100):
        engine.events.record(about, "Normal", "Many", str(number))
    assert engine.metrics.events_dropped._value.get() == 100


async def test_a_long_message_is_cut_to_what_the_api_takes() -> None:
    engine = Engine()
    await post(engine, "x" * 5_000)
    assert len(posted(engine.api)[0]["message"]) == 1_024


async def test_flush_waits_until_everything_is_posted() -> None:
    engine = Engine()
    recorder: EventRecorder = engine.events
    recorder.record(engine.api.put(make_livestream()), "Normal", "Last", "word")
    posting = asyncio.ensure_future(recorder.run())
    await recorder.flush(1)
    posting.cancel()
    assert len(posted(engine.api)) == 1
