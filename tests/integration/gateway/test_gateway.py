"""Publishers, the gateway and a hub that does as it is told, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs

from sluice_media.contract import LegEnd, Refusal
from sluice_media.protocols.rtmp import (
    BAD_NAME,
    Closed,
    MessageType,
    PublishAccepted,
    PublishRejected,
)
from tests.support import flv_samples as s
from tests.support.fake_hub import FakeHub
from tests.support.fake_hub_legs import KEY
from tests.support.gateway_rig import GOP, PICTURE_MS, Rig, RtmpPublisher, until
from tests.support.network import BOTH_LOOPBACKS
from tests.support.rtmp import media_message


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig().running() as rig:
        yield rig


def rejected(reason: str, message: str) -> PublishRejected:
    return PublishRejected(BAD_NAME, f"{reason}: {message}")


# ---------------------------------------------------------------------- accepted or refused


@pytest.mark.parametrize(
    ("app", "key"),
    [("namespace", f"stream?{KEY}"), ("namespace/stream", KEY), ("namespace", f"stream/{KEY}")],
)
async def test_the_right_key_is_accepted_and_media_reaches_the_hub(
    rig: Rig, app: str, key: str
) -> None:
    async with rig.publisher(key, app=app) as publisher:
        await publisher.accepted()
        assert rig.lookups == [("namespace", "stream")]
        publisher.play(12)
        await until(lambda: rig.hub.legs[0].pictures == publisher.pictures)
        leg = rig.hub.legs[0]
        assert leg.hello.protocol == "RTMP"
        assert leg.hello.remote == "127.0.0.1"
        assert leg.hello.resume is None
        publisher.end()
        await until(lambda: leg.ended)
        assert leg.ended == "eof"
        await publisher.closed.wait()
    assert len(rig.hub.legs) == 1


async def test_a_publisher_that_hangs_up_ends_its_leg_in_order(rig: Rig) -> None:
    async with rig.publisher() as publisher:
        await publisher.accepted()
        publisher.play(7)
        publisher.hang_up()
        await until(lambda: rig.hub.legs[0].ended)
    assert rig.hub.legs[0].ended == "eof"
    assert rig.hub.legs[0].pictures == publisher.pictures


@pytest.mark.parametrize(
    ("status", "refusal", "want"),
    [
        (401, None, ("BadKey", "the stream key is wrong")),
        (409, None, ("Busy", "somebody else publishes to this stream")),
        (403, None, ("Disabled", "the stream does not take publishers")),
        (403, Refusal(reason="ProtocolNotAllowed", message="RTMP is off"), None),
        (409, Refusal(reason="Busy", message="taken"), None),
    ],
)
async def test_the_hubs_refusals_are_told_as_bad_name(
    rig: Rig, status: int, refusal: Refusal | None, want: tuple[str, str] | None
) -> None:
    rig.hub.refuse = (status, refusal)
    async with rig.publisher() as publisher:
        answer = await publisher.answer()
        if refusal is not None:
            want = (refusal.reason, refusal.message)
        assert want is not None
        assert answer == rejected(*want)
        await asyncio.wait_for(publisher.closed.wait(), 20)
    assert rig.metric("publishes_refused_total", reason=want[0]) == 1


async def test_a_refused_newcomer_leaves_the_running_publisher_alone(rig: Rig) -> None:
    async with rig.publisher() as first:
        await first.accepted()
        rig.hub.refuse = (409, None)
        async with rig.publisher() as second:
            assert isinstance(await second.answer(), PublishRejected)
        first.play(20)
        await until(lambda: rig.hub.legs[0].pictures == first.pictures)


async def test_a_path_that_names_no_stream_is_refused_without_asking_anybody(rig: Rig) -> None:
    async with rig.publisher("stream-without-key") as publisher:
        answer = await publisher.answer()
    assert isinstance(answer, PublishRejected)
    assert answer.description.startswith("BadKey: ")
    assert rig.lookups == []


async def test_a_name_that_is_missing_twice_is_an_unknown_stream(rig: Rig) -> None:
    rig.missing = 2
    async with rig.publisher() as publisher:
        assert await publisher.answer() == rejected("UnknownStream", "there is no such stream")
    assert len(rig.lookups) == 2


async def test_a_name_that_is_missing_once_is_asked_again(rig: Rig) -> None:
    rig.missing = 1
    async with rig.publisher() as publisher:
        await publisher.accepted()


async def test_many_wrong_keys_block_the_address_but_not_who_publishes() -> None:
    async with Rig(max_failures=3).running() as rig, rig.publisher() as running:
        await running.accepted()
        for _ in range(3):
            async with rig.publisher("stream?wrong") as publisher:
                answer = await publisher.answer()
                assert answer == rejected("BadKey", "the stream key is wrong")
        async with rig.publisher() as publisher:
            answer = await publisher.answer()
        assert isinstance(answer, PublishRejected)
        assert answer.description.startswith("TooManyFailures: ")
        running.play(5)
        await until(lambda: rig.hub.legs[0].pictures == running.pictures)


# ---------------------------------------------------------------------- hubs that come and go


async def test_a_publisher_is_held_until_its_hub_is_there(rig: Rig) -> None:
    await rig.hub.stop()
    async with rig.publisher() as publisher:
        await asyncio.sleep(0.4)
        assert not publisher.events
        await rig.hub.start()
        await publisher.accepted()
        publisher.play(3)
        await until(lambda: rig.hub.legs and rig.hub.legs[0].pictures == publisher.pictures)


@pytest.mark.parametrize("status", [503, 500, 404])
async def test_a_hub_that_is_not_ready_holds_the_publisher(rig: Rig, status: int) -> None:
    rig.hub.refuse = (status, Refusal(reason="Draining", message="wait"))
    async with rig.publisher() as publisher:
        await asyncio.sleep(0.4)
        assert not publisher.events
        rig.hub.refuse = None
        await publisher.accepted()


async def test_without_a_hub_the_connection_is_closed_without_a_refusal(rig: Rig) -> None:
    await rig.hub.stop()
    async with rig.publisher() as publisher:
        await asyncio.wait_for(publisher.closed.wait(), 20)
        assert publisher.events == []
    assert rig.metric("publishes_given_up_total") == 1


async def test_a_killed_hub_is_no_event_for_the_publisher_and_nothing_is_lost(rig: Rig) -> None:
    rig.hub.acknowledges = lambda leg: leg.pictures[-1] * 90 if leg.pictures else None
    async with rig.publisher() as publisher:
        await publisher.accepted()
        publisher.play(3 * GOP + 2)
        first = rig.hub.legs[0]
        last = 3 * GOP * PICTURE_MS
        await until(lambda: first.acked_dts and first.acked_dts > last * 90 + 270)
        await asyncio.sleep(0.1)  # the acknowledgement is on its way
        await rig.hub.stop()
        publisher.play(2 * GOP)
        await asyncio.sleep(0.3)
        publisher.play(3)
        before, rig.hub = rig.hub, FakeHub("second")
        await rig.hub.start()
        await until(
            lambda: rig.hub.legs and rig.hub.legs[0].pictures[-1:] == publisher.pictures[-1:]
        )
        second = rig.hub.legs[0]
        assert second.hello.connection == first.hello.connection
        assert second.hello.resume is not None
        assert second.hello.resume.timeline == "timeline-of-hub"
        assert second.hello.resume.acked_dts == first.acked_dts
        assert second.units[0].is_random_access
        assert second.pictures[0] == last
        assert second.pictures == publisher.pictures[publisher.pictures.index(last) :]
        assert publisher.events == [PublishAccepted()]
        assert before is not rig.hub
        publisher.play(4)
        await until(lambda: second.pictures[-1] == publisher.pictures[-1])
    assert rig.metric("legs_lost_total") == 1
    assert rig.metric("legs_resumed_total") == 1


async def test_a_frozen_hub_is_dropped_and_the_next_one_gets_everything(rig: Rig) -> None:
    async with rig.publisher() as publisher:
        await publisher.accepted()
        publisher.play(4)
        await until(lambda: rig.hub.legs[0].pictures == publisher.pictures)
        frozen, rig.hub = rig.hub, FakeHub("second")
        await rig.hub.start()
        frozen.frozen = True
        publisher.play(20)
        await until(lambda: rig.hub.legs and rig.hub.legs[0].pictures == publisher.pictures)
        assert publisher.events == [PublishAccepted()]
        frozen.frozen = False
        await frozen.stop()


async def test_a_hub_that_answers_but_does_not_read_is_dropped() -> None:
    async with Rig(retain_bytes=200_000).running() as rig, rig.publisher() as publisher:
        await publisher.accepted()
        slow, rig.hub = rig.hub, FakeHub("second")
        await rig.hub.start()
        slow.reads = False
        async with asyncio.timeout(30):
            while not rig.hub.legs:  # the system's buffers alone may take 37 MB
                publisher.play(1, size=150_000)
                await asyncio.sleep(0.01)
        slow.reads = True
        await slow.stop()


async def test_a_draining_hub_sends_the_leg_to_the_next_one(rig: Rig) -> None:
    async with rig.publisher() as publisher:
        await publisher.accepted()
        publisher.play(4)
        await until(lambda: rig.hub.legs[0].pictures == publisher.pictures)
        rig.hub.legs[0].end = LegEnd(reason="Draining")
        publisher.play(4)
        await until(lambda: len(rig.hub.legs) == 2)
        await until(lambda: rig.hub.legs[1].pictures == publisher.pictures)
        assert publisher.events == [PublishAccepted()]


@pytest.mark.parametrize("reason", ["TakenOver", "Disabled", "KeyRotated", "UnsupportedCodec"])
async def test_a_leg_that_the_hub_ends_on_purpose_ends_the_publisher(rig: Rig, reason: str) -> None:
    async with rig.publisher() as publisher:
        await publisher.accepted()
        publisher.play(4)
        await until(lambda: rig.hub.legs[0].pictures)
        rig.hub.legs[0].end = LegEnd(reason=reason, message="because")
        await asyncio.wait_for(publisher.closed.wait(), 20)
        assert publisher.events[1:] == [Closed(BAD_NAME, f"{reason}: because")]
    assert len(rig.hub.legs) == 1


async def test_a_hub_that_never_comes_back_ends_the_publisher() -> None:
    async with Rig(hold_accepted_seconds=0.6).running() as rig, rig.publisher() as publisher:
        await publisher.accepted()
        await rig.hub.stop()
        await asyncio.wait_for(publisher.closed.wait(), 3.5)
        assert publisher.events == [PublishAccepted()]


async def test_what_a_publisher_sent_last_still_reaches_the_next_hub(rig: Rig) -> None:
    async with rig.publisher() as publisher:
        await publisher.accepted()
        publisher.play(4)
        await until(lambda: rig.hub.legs[0].pictures == publisher.pictures)
        await rig.hub.stop()
        await until(lambda: rig.metric("legs_lost_total"))
        publisher.play(6)
        publisher.end()
        await asyncio.sleep(0.1)
        rig.hub = FakeHub("second")
        await rig.hub.start()
        await until(lambda: rig.hub.legs and rig.hub.legs[0].ended)
        assert rig.hub.legs[0].ended == "eof"
        assert rig.hub.legs[0].pictures == publisher.pictures


# ---------------------------------------------------------------------- limits and ends


async def test_an_eager_encoder_loses_nothing_it_sent_before_it_was_accepted(rig: Rig) -> None:
    await rig.hub.stop()
    async with rig.publisher() as publisher:
        await until(lambda: rig.lookups)
        publisher.session._state = type(publisher.session._state).ACCEPTED
        publisher._send(media_message(publisher.session, MessageType.VIDEO, 0, s.avc_config()))
        publisher.play(8)
        await rig.hub.start()
        await until(lambda: rig.hub.legs and rig.hub.legs[0].pictures == publisher.pictures)


async def test_a_silent_publisher_is_closed() -> None:
    async with Rig(idle_seconds=0.3).running() as rig, rig.publisher() as publisher:
        await publisher.accepted()
        await asyncio.wait_for(publisher.closed.wait(), 20)
        await until(lambda: rig.hub.legs[0].ended == "eof")


async def connect_and_send(port: int, data: bytes, seconds: float = 4.5) -> None:
    """Waits until the other side has closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        async with asyncio.timeout(seconds):
            while await reader.read(65_536):
                pass
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x03" + bytes(3_072) + b"\xff" * 5_000, b"", b"\x03" * 100],
    ids=["another protocol", "garbage", "nothing", "half a handshake"],
)
async def test_strangers_are_closed_and_disturb_nobody(data: bytes) -> None:
    async with Rig(handshake_seconds=0.3, publish_seconds=0.3).running() as rig:
        async with rig.publisher() as publisher:
            await publisher.accepted()
            await asyncio.gather(*(connect_and_send(rig.gateway.port, data) for _ in range(20)))
            publisher.play(6)
            await until(lambda: rig.hub.legs[0].pictures == publisher.pictures)
        assert rig.metric("protocol_errors_total") == 20


async def test_connections_over_the_limit_are_closed_at_once() -> None:
    async with Rig(max_connections_per_address=2).running() as rig, AsyncExitStack() as stack:
        for _ in range(2):
            publisher = await stack.enter_async_context(rig.publisher())
            await publisher.accepted()
        await connect_and_send(rig.gateway.port, b"\x03", seconds=1)
        assert rig.metric("connections_refused_total") == 1


@pytest.mark.parametrize("host", BOTH_LOOPBACKS)
async def test_one_port_takes_ipv4_and_ipv6(host: str) -> None:
    async with (
        Rig(bind="::").running() as rig,
        RtmpPublisher(rig.gateway.port, "namespace", f"stream?{KEY}", host=host) as publisher,
    ):
        await publisher.accepted()
        assert rig.hub.legs[0].hello.remote == host


async def test_draining_takes_nobody_new_and_waits_for_the_last(rig: Rig) -> None:
    async with rig.publisher() as publisher:
        await publisher.accepted()
        port = rig.gateway.port
        draining = asyncio.create_task(rig.gateway.drain(10))
        await until(lambda: rig.gateway.draining)
        assert rig.gateway.ready
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await connect_and_send(port, b"\x03")
        publisher.play(6)
        await until(lambda: rig.hub.legs[0].pictures == publisher.pictures)
        assert not draining.done()
        publisher.end()
        await asyncio.wait_for(draining, 8)


async def test_gauges_return_to_zero(rig: Rig) -> None:
    async with rig.publisher() as publisher:
        await publisher.accepted()
        publisher.play(6)
        await until(lambda: rig.metric("retained_bytes") > 0)
        assert rig.metric("publishers") == rig.metric("legs") == rig.metric("connections") == 1
        publisher.end()
        await publisher.closed.wait()
    for name in ("publishers", "legs", "connections", "retained_bytes"):
        await until(lambda name=name: rig.metric(name) == 0)  # type: ignore[misc]


@pytest.mark.parametrize(
    "prepare",
    [
        lambda rig: None,
        lambda rig: setattr(rig.hub, "refuse", (401, None)),
        lambda rig: setattr(rig.hub, "refuse", (409, None)),
        lambda rig: setattr(rig, "missing", 9),
        lambda rig: setattr(rig.hub, "port", 1),
    ],
    ids=["wrong key", "refused", "busy", "unknown", "no hub"],
)
async def test_a_canary_key_is_in_no_log_line(
    prepare: Callable[[Rig], None], capfd: pytest.CaptureFixture[str]
) -> None:
    with capture_logs() as logs:
        async with Rig(hold_new_seconds=0.5).running() as rig:
            prepare(rig)
            for app, key in (("namespace", "stream?canary-7"), ("namespace/stream", "canary-7")):
                async with rig.publisher(key, app=app) as publisher:
                    await asyncio.wait_for(publisher.closed.wait(), 20)
            await connect_and_send(rig.gateway.port, b"canary-7")
    assert logs
    printed = capfd.readouterr()
    assert "canary" not in repr(logs) + printed.out + printed.err


# ---------------------------------------------------------------------- slow uplinks


async def test_the_hub_hears_of_a_large_picture_while_it_comes(rig: Rig) -> None:
    async with rig.publisher() as publisher:
        await publisher.accepted()
        publisher.play(12, size=60_000)
        await until(lambda: rig.hub.legs[0].pictures == publisher.pictures)
        leg = rig.hub.legs[0]
        before = leg.notices
        sending = asyncio.create_task(publisher.play_slowly(250_000, 1.5))
        await until(lambda: leg.notices >= before + 3)
        assert leg.pictures == publisher.pictures
        await sending
        await until(lambda: leg.pictures == publisher.pictures)
        assert leg.notices - before <= 16
        said = leg.notices
        publisher.play(3)
        await until(lambda: leg.pictures == publisher.pictures)
        assert leg.notices == said


@pytest.mark.parametrize(("size", "seconds"), [(250_000, 1.0), (120_000, 2.0), (30_000, 1.5)])
async def test_the_hub_hears_several_times_of_a_picture_on_a_slow_line(
    rig: Rig, size: int, seconds: float
) -> None:
    """Down to 160 kb/s. Without news for 0.8 s a leg is taken for stalled, as a default."""
    async with rig.publisher() as publisher:
        await publisher.accepted()
        publisher.play(12, size=6_000)
        await until(lambda: rig.hub.legs[0].pictures == publisher.pictures)
        leg = rig.hub.legs[0]
        await publisher.play_slowly(size, seconds)
        await until(lambda: leg.pictures == publisher.pictures)
        print(f"{size} bytes in {seconds} s: {leg.notices} notices")
        assert leg.notices >= 4
