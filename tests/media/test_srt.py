"""Real SRT publishers at the listener: admission, received media, and resistance to faults."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from sluice_media.formats.mpegts import TsMuxer
from sluice_media.formats.mpegts.demux import TsDemuxer
from sluice_media.formats.units import AccessUnit
from sluice_media.protocols.srt import (
    ConnectRefused,
    ConnectTimeout,
    RejectCode,
    SrtConnection,
    SrtTarget,
    connect,
    receiver,
)
from tests.support.media_clips import frame_hashes
from tests.support.network import needs_ipv6
from tests.support.push_peers import slow_datagrams_to
from tests.support.srt_rig import KEY, OTHER_KEY, PASSPHRASE, Rig, make_ts, read_until_end

# Live transport drops what comes too late: a machine that is busy elsewhere loses pictures.
pytestmark = pytest.mark.timed

OPEN, SECRET = f"demo/open?{KEY}", f"demo/secret?{KEY}"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ts(tmp_path_factory.mktemp("srt") / "clip.ts")


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig().running() as rig:
        yield rig


def hashes(received: bytes, folder: Path, stream: str = "v:0") -> list[str]:
    """Return the hashes of the frames after our own demultiplexer and multiplexer."""
    demuxer = TsDemuxer()
    events = [*demuxer.feed(received), *demuxer.flush()]
    assert (demuxer.continuity_errors, demuxer.sync_losses) == (0, 0)
    muxer = TsMuxer(demuxer.formats)
    output = folder / "output.ts"
    output.write_bytes(b"".join(muxer.write(e) for e in events if isinstance(e, AccessUnit)))
    return frame_hashes(output, stream)


# ---------------------------------------------------------------- who is let in


async def test_srt_live_transmit_with_the_other_form_of_the_stream_id(clip: Path) -> None:
    """All other tests use the short form."""
    async with (
        # What comes later than the latency is dropped, as SRT does.
        Rig().running(latency_ms=1_000) as rig,
        rig.live_transmit(clip, f"#!::r={OPEN},m=publish", seconds=0.7),
    ):
        received = await read_until_end(await rig.accept())
    # What it has not sent when its input ends, it forgets.
    assert clip.read_bytes().startswith(received)
    assert len(received) > 0.9 * clip.stat().st_size


async def test_a_refusal_says_why(rig: Rig) -> None:
    for why, stream_id, passphrase, code in (
        ("wrong key", "demo/open?wrong", None, RejectCode.UNAUTHORIZED),
        ("unknown stream", f"other/open?{KEY}", None, RejectCode.NOT_FOUND),
        ("no stream id of ours", "nonsense", None, RejectCode.BAD_REQUEST),
        ("no stream id", "", None, RejectCode.BAD_REQUEST),
        ("a viewer", f"#!::r=demo/open?{KEY},m=request", None, RejectCode.BAD_MODE),
        ("wrong passphrase", SECRET, "canary-wrong-phrase", 10),
        ("no encryption when enforced", SECRET, None, 11),
        ("encryption that nobody expects", OPEN, PASSPHRASE, 11),
    ):
        with pytest.raises(ConnectRefused) as refused:
            async with rig.call(stream_id, passphrase):
                pass
        assert refused.value.code == code, why
        assert not rig.listener.connections, why


async def test_foreign_peers_understand_a_refusal(rig: Rig, clip: Path) -> None:
    async with rig.ffmpeg(clip, "demo/open?wrong") as encoder:
        await encoder.wait_for_output("REJECT reported")
    async with rig.live_transmit(clip, "demo/open?wrong") as encoder:
        await encoder.wait_for_output("REJECT reported")
    assert rig.listener.rejections[RejectCode.UNAUTHORIZED] == 2


async def test_busy_is_refused_and_the_first_one_untouched(
    rig: Rig, clip: Path, tmp_path: Path
) -> None:
    async with rig.ffmpeg(clip, OPEN) as _:
        connection = await rig.accept()
        reading = asyncio.create_task(read_until_end(connection))
        await asyncio.sleep(0.3)
        for stream_id in (OPEN, f"demo/open?{OTHER_KEY}"):
            with pytest.raises(ConnectRefused, match="the stream has a publisher already"):
                async with rig.call(stream_id):
                    pass
        received = await reading
    assert hashes(received, tmp_path) == frame_hashes(clip)


async def test_a_silent_publisher_is_taken_over(rig: Rig, clip: Path) -> None:
    async with rig.ffmpeg(clip, OPEN) as frozen:
        first = await rig.accept()
        await first.read()
        frozen.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(1.1)
        async with rig.call(OPEN):
            second = await rig.accept()
            await read_until_end(first, 1)
            assert rig.listener.connections == (second,)
        frozen.process.send_signal(signal.SIGCONT)


async def test_an_unknown_stream_may_come_again_when_its_lookup_takes_long(rig: Rig) -> None:
    rig.lookup_seconds = 0.3
    with pytest.raises(ConnectRefused) as refused:
        async with rig.call(OPEN):
            pass
    assert refused.value.code == RejectCode.UNAVAILABLE
    await asyncio.sleep(0.4)
    async with rig.call(OPEN):
        assert (await rig.accept()).leg == "demo/open/primary"
    assert rig.lookups == ["open"]


async def test_the_places_of_publishers_that_have_gone_are_free_again() -> None:
    async with Rig().running(max_connections=2) as rig:
        for _ in range(3):
            async with rig.call(OPEN), rig.call(f"demo/other?{KEY}"):
                connections = [await rig.accept(), await rig.accept()]
                with pytest.raises(ConnectRefused) as refused:
                    async with rig.call(f"demo/third?{KEY}"):
                        pass
                assert refused.value.code == RejectCode.OVERLOAD
            for connection in connections:
                await read_until_end(connection)
            assert not rig.listener.connections


async def test_the_longer_latency_counts(rig: Rig) -> None:
    for stream, own, senders, want in (
        ("one", None, 500, 500),
        ("two", None, 20, 120),
        ("three", 300, 20, 300),
    ):
        rig.latency_ms = own
        async with rig.call(f"demo/{stream}?{KEY}", latency_ms=senders):
            assert (await rig.accept()).latency_ms == want


# ---------------------------------------------------------------- how it ends


async def test_publishers_that_are_gone_are_noticed_in_2_s(rig: Rig, clip: Path) -> None:
    encrypted = f"&passphrase={PASSPHRASE}"
    async with rig.ffmpeg(clip, OPEN) as killed, rig.ffmpeg(clip, SECRET, encrypted) as frozen:
        connections = [await rig.accept(), await rig.accept()]
        for connection in connections:
            assert await connection.read()
        started = time.monotonic()
        os.kill(killed.process.pid, signal.SIGKILL)
        os.kill(frozen.process.pid, signal.SIGSTOP)
        seconds = await asyncio.gather(*(_time_of_end(c, started) for c in connections))
    print("gone after " + ", ".join(f"{taken:.2f} s" for taken in seconds))
    assert all(1.5 < taken < 4.5 for taken in seconds), "libsrt alone takes 5 s"
    assert all(connection.stats() is None for connection in connections)
    assert not rig.listener.connections


async def _time_of_end(connection: SrtConnection, started: float) -> float:
    await read_until_end(connection)
    return time.monotonic() - started


async def test_we_can_end_it(rig: Rig, clip: Path) -> None:
    async with rig.ffmpeg(clip, OPEN) as encoder:
        connection = await rig.accept()
        await connection.read()
        connection.close()
        await read_until_end(connection, 1)
        assert "error" in (await encoder.ended()).lower()


# ---------------------------------------------------------------- one port for all


async def test_two_streams_on_one_port_bring_every_frame_each(
    rig: Rig, clip: Path, tmp_path: Path
) -> None:
    other = make_ts(tmp_path / "other.ts", color=True)
    async with (
        rig.ffmpeg(clip, OPEN),
        rig.ffmpeg(other, SECRET, f"&passphrase={PASSPHRASE}&pbkeylen=32"),
    ):
        connections = [await rig.accept(), await rig.accept()]
        received = await asyncio.gather(*map(read_until_end, connections))
    by_stream = {c.request.stream: data for c, data in zip(connections, received, strict=True)}
    assert {c.request.stream: c.encrypted for c in connections} == {"open": False, "secret": True}
    assert hashes(by_stream["open"], tmp_path) == frame_hashes(clip)
    assert hashes(by_stream["secret"], tmp_path) == frame_hashes(other)
    assert sorted(rig.lookups) == ["open", "secret"]


async def test_garbage_and_guesses_do_not_touch_a_running_stream(
    rig: Rig, clip: Path, tmp_path: Path
) -> None:
    async with rig.ffmpeg(clip, OPEN):
        connection = await rig.accept()
        reading = asyncio.create_task(read_until_end(connection))
        rig.lookup_seconds = 5  # the worst case for those who wait in the handshake thread
        sent = await asyncio.to_thread(_flood, rig.listener.port, 0.8)
        with pytest.raises(ConnectRefused):
            async with rig.call(f"demo/guess?{KEY}"):
                pass
        received = await reading
    print(f"{sent} datagrams of garbage in 0.8 s")
    assert sent > 100
    assert hashes(received, tmp_path) == frame_hashes(clip)


def _flood(port: int, seconds: float) -> int:
    """Noise, headers of data and of control packets with any destination, empty datagrams."""
    sent = 0
    until = time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        while time.monotonic() < until:
            for datagram in (
                os.urandom(1_316),
                b"",
                b"\x80\x00\x00\x00" + bytes(12) + os.urandom(48),
                b"\x80\x00\x00\x00" + bytes(12) + b"\x00\x00\x00\x04" + bytes(44),
                os.urandom(12) + b"\x00\x00\x00\x00" + os.urandom(200),
            ):
                sock.send(datagram)
                sent += 1
            time.sleep(0.002)
    return sent


async def test_a_reader_that_stops_holds_no_more_than_its_queue(clip: Path) -> None:
    async with Rig().running(queue_bytes=64_000) as rig, rig.ffmpeg(clip, OPEN):
        connection = await rig.accept()
        await asyncio.sleep(1)
        held = connection.received_bytes
        assert held < 64_000 + 256 * 1_456
        await read_until_end(connection)
        assert connection.received_bytes > held


async def test_keys_and_passphrases_are_shown_nowhere(
    rig: Rig, clip: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = []
    with capture_logs() as logs:
        for stream_id, passphrase in ((OPEN, PASSPHRASE), (f"demo/open/x?{KEY}", None)):
            with pytest.raises(ConnectRefused) as refused:
                async with rig.call(stream_id, passphrase):
                    pass
            shown.append(repr(refused.value))
        async with rig.call(SECRET, PASSPHRASE) as caller:
            connection = await rig.accept()
            shown += [
                repr(connection),
                repr(connection.request),
                repr(caller),
                repr(connection.stats()),
            ]
    target = SrtTarget("127.0.0.1", 1, *(connection.request.key,))
    shown += [repr(target), repr(logs), caplog.text, *capfd.readouterr()]
    assert "canary" not in " ".join(shown)


# ---------------------------------------------------------------- our own caller


async def test_a_caller_sends_a_burst_in_the_media_s_time_and_nothing_is_lost(
    rig: Rig, clip: Path
) -> None:
    demuxer = TsDemuxer()
    data = clip.read_bytes()
    units = [e for e in (*demuxer.feed(data), *demuxer.flush()) if isinstance(e, AccessUnit)]
    muxer = TsMuxer(demuxer.formats)
    async with rig.call(SECRET, PASSPHRASE) as caller:
        connection = await rig.accept()
        reading = asyncio.create_task(read_until_end(connection))
        started = time.monotonic()
        sent = b""
        for unit in units:
            packets = muxer.write(unit)
            sent += packets
            await caller.send(packets, unit.dts)
        seconds = time.monotonic() - started
        assert await caller.drain(2)
        stats = caller.stats()
        await asyncio.sleep(0.3)  # the receiver holds back what it has for the latency
    assert stats is not None
    print(f"1.2 s of media sent in {seconds:.2f} s, rtt {stats.rtt_ms:.2f} ms")
    assert 0.6 < seconds < 6, "in the media's time, not at once"
    assert (stats.send_losses, stats.send_dropped) == (0, 0)
    assert await reading == sent


async def test_a_caller_goes_on_after_a_gap_that_took_all_unacknowledged_packets(rig: Rig) -> None:
    """The server reports no loss when no later packet tells it of one."""
    picture = (b"\x47\x01\x00\x10" + bytes(184)) * 28
    last = picture.replace(b"\0" * 184, b"\1" * 184)
    async with slow_datagrams_to(rig.listener.port, 1e9) as (way, port):
        target = SrtTarget("127.0.0.1", port, SecretStr(OPEN), latency_ms=500)
        async with connect(target) as caller:
            connection = await rig.accept()
            reading = asyncio.create_task(read_until_end(connection))

            async def send(numbers: Iterable[int]) -> None:
                for number in numbers:
                    await caller.send(picture, number * 3_600)

            await send(range(25))
            way.is_broken = True
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(send(range(25, 100)), 1)
            way.is_broken = False
            async with asyncio.timeout(3):
                await send(range(100, 110))
            way.is_broken = True
            await caller.send(last, 110 * 3_600)
            way.is_broken = False
            assert await caller.drain(3)
        assert last in await reading, "it was sent again"


async def test_a_caller_says_when_nobody_answers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        target = SrtTarget("127.0.0.1", sock.getsockname()[1])
        with pytest.raises(ConnectTimeout):
            async with connect(target, timeout_seconds=0.5):
                pass


async def test_a_caller_that_is_cancelled_leaves_at_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        target = SrtTarget("127.0.0.1", sock.getsockname()[1])
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), connect(target, timeout_seconds=10):
                pass
        assert time.monotonic() - started < 6, "not the 10 s of its own"


async def test_a_connection_that_holds_more_than_a_batch_is_read_on_without_a_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(receiver, "_BATCH_MESSAGES", 8)
    monkeypatch.setattr(receiver, "_REST_SECONDS", 2.0)
    data = bytes(64 * 1_316)
    async with Rig().running(silence_ms=60_000) as rig, rig.call(OPEN) as caller:
        connection = await rig.accept()
        started = time.monotonic()
        for at in range(0, len(data), 1_316):
            await caller.send(data[at : at + 1_316], 0)
        received = 0
        async with asyncio.timeout(60):
            while received < len(data):
                received += len(await connection.read())
        assert time.monotonic() - started < 9, "eight batches with a rest of 2 s each take 14 s"


async def test_what_receiving_costs(tmp_path: Path) -> None:
    clip_seconds = 2.0
    clip = make_ts(tmp_path / "clip.ts", seconds=clip_seconds, bits="5800k")
    mbit = clip.stat().st_size * 8 / 1e6 / clip_seconds
    async with Rig().running() as rig, rig.ffmpeg(clip, OPEN):
        connection = await rig.accept()
        cpu = time.process_time()
        received = await read_until_end(connection)
        cpu = time.process_time() - cpu
    # Of the media that came, not of the clock: a busy machine stretches one and not the other.
    share = cpu / (len(received) / clip.stat().st_size * clip_seconds)
    print(f"SRT receive: {100 * share:.1f} % of a core at {mbit:.1f} Mb/s")
    assert share < 0.5, "a thread that never rests takes a whole core; the benchmark is stricter"


def srt_threads() -> list[str]:
    """Return the names of libsrt's threads, without its collector of closed sockets."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if name.startswith("SRT:") and name != "SRT:GC"]


async def srt_threads_have_ended() -> None:
    """Wait until libsrt's collector has closed the sockets: it does so some seconds later."""
    async with asyncio.timeout(15):
        while srt_threads():
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("bind", ["127.0.0.1", pytest.param("::", marks=needs_ipv6)])
async def test_callers_are_connected_at_once_and_no_thread_outlives_the_listener(
    bind: str,
) -> None:
    seconds: dict[str, list[float]] = {}
    async with Rig().running(bind=bind) as rig:
        for number in range(4):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                for _ in range(100):
                    stranger.sendto(os.urandom(200), ("127.0.0.1", rig.listener.port))
            await asyncio.sleep(0.1)
            host = "::1" if bind == "::" and number % 2 else "127.0.0.1"
            began = time.monotonic()
            async with rig.call(OPEN, host=host) as caller:
                seconds.setdefault(host, []).append(time.monotonic() - began)
                connection = await rig.accept()
                await caller.send(b"\x47" * 188, 0)
                assert await connection.read()
                assert connection.remote == host
            await read_until_end(connection)
    print(f"seconds from call to connection: {seconds}")
    for host, took in seconds.items():
        assert min(took) < 0.2, f"each first packet to {host} was lost and sent again after 250 ms"
    await srt_threads_have_ended()


async def test_no_descriptor_left_is_an_error_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "eventfd", fail)
    with pytest.raises(ExceptionGroup) as failed:
        async with Rig().running():
            pass
    assert failed.value.subgroup(OSError)
    await srt_threads_have_ended()


async def test_an_occupied_port_is_an_error_at_the_start() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(ExceptionGroup) as failed:
            async with Rig().running(port=other.getsockname()[1]):
                pass
    assert failed.value.subgroup(OSError)
