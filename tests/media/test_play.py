"""Play pods behind a real gateway and hub: equal pods, exact frames, and what is refused."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sluice_media.play.access import sign
from tests.support.media_clips import Clip, frame_hashes, make_clip
from tests.support.play_rig import PlayPod, PlayRig, play_rig
from tests.support.publish import Publisher

GOP_SECONDS = 2
CLIP_SECONDS = 30


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.flv", seconds=CLIP_SECONDS)


@asynccontextmanager
async def published(rig: PlayRig, clip: Clip, *, loop: bool = False) -> AsyncIterator[Publisher]:
    publisher = Publisher(clip.path, rig.url, loop=loop)
    try:
        yield publisher
    finally:
        publisher.kill()


async def session_of(rig: PlayRig, pod: PlayPod) -> str:
    """Wait until the stream is on air; return the id of its session."""
    text = await rig.until_found(pod, "index.m3u8")
    found = re.search(r"^([0-9a-f]+)/video\.m3u8$", text, re.MULTILINE)
    assert found is not None, text
    return found[1]


def listed(playlist: str) -> list[int]:
    """Return the numbers of the closed segments."""
    return [int(n) for n in re.findall(r"^\w+/(\d+)\.(?:m4s|ts)", playlist, re.MULTILINE)]


def uris(playlist: str) -> list[str]:
    """Return the URIs of all parts and closed segments."""
    return re.findall(r'(?:PART:.*URI="|^)(\w+/[\d.]+m4s)', playlist, re.MULTILINE)


async def until_listed(rig: PlayRig, pod: PlayPod, path: str, number: int) -> str:
    """Wait until a playlist lists a segment; return the playlist."""
    async with asyncio.timeout(40):
        while True:
            text = await rig.until_found(pod, path)
            if number in listed(text):
                return text
            await asyncio.sleep(0.2)


async def equal_text(rig: PlayRig, path: str) -> str:
    """Wait until a playlist is equal at both pods, which may be one part apart at a moment; return
    it."""
    async with asyncio.timeout(20):
        while True:
            texts = await asyncio.gather(*(rig.text(pod, path) for pod in rig.pods))
            if len(set(texts)) == 1:
                return texts[0]
            await asyncio.sleep(0.05)


async def differences(rig: PlayRig, session: str, paths: Iterable[str]) -> list[str]:
    """Return the paths whose bytes are not equal at all pods."""
    found = []
    for path in paths:
        answers = await asyncio.gather(*(rig.get(pod, f"{session}/{path}") for pod in rig.pods))
        if len(set(answers)) != 1 or answers[0][0] != 200:
            found.append(f"{path}: {[status for status, _ in answers]}")
    return found


async def played_frames(
    rig: PlayRig, session: str, path: Path, numbers: Iterable[int]
) -> list[str]:
    """Return the hashes of the pictures of segments, decoded by FFmpeg."""
    with path.open("wb") as file:
        file.write((await rig.get(rig.pods[0], f"{session}/video/init.0.mp4"))[1])
        for number in numbers:
            file.write((await rig.get(rig.pods[0], f"{session}/video/{number}.m4s"))[1])
    return frame_hashes(path, "v")


async def test_a_killed_pod_comes_back_with_the_same_playlists_segments_and_parts(
    tmp_path: Path, clip: Clip
) -> None:
    """A pod without its disk gets from its sibling what it missed. Each is killed once."""
    async with play_rig(tmp_path, pods=2, dvr_seconds=120) as rig, published(rig, clip, loop=True):
        first, second = rig.pods
        session = await session_of(rig, first)
        video = f"{session}/video.m3u8"
        for killed, other in ((first, second), (second, first)):
            newest = listed(await until_listed(rig, other, video, 2))[-1]
            await killed.kill()
            subprocess.run(["rm", "-rf", str(killed.folder / "spool")], check=True)
            await until_listed(rig, other, video, newest + 2)
            await rig.run_pod(killed)
            await until_listed(rig, killed, video, newest + 4)
            text = await equal_text(rig, video)
            assert listed(text)[0] == 0
            assert not await differences(rig, session, [*uris(text), "video/init.0.mp4"])
            audio = await rig.text(first, f"{session}/audio.m3u8")
            assert not await differences(rig, session, uris(audio)[:-1])


async def test_a_killed_hub_changes_no_segment_and_loses_no_picture(
    tmp_path: Path, clip: Clip
) -> None:
    async with play_rig(tmp_path, pods=2, dvr_seconds=60) as rig, published(rig, clip):
        session = await session_of(rig, rig.pods[0])
        video = f"{session}/video.m3u8"
        newest = listed(await until_listed(rig, rig.pods[0], video, 3))[-1]
        assert rig.hub.returncode is None
        rig.hub.send_signal(signal.SIGKILL)
        await rig.hub.wait()
        rig.hub = await rig._run("hub", rig.hub_status_port, "-m", "sluice_media", "ingest")
        text = await until_listed(rig, rig.pods[0], video, newest + 3)
        assert "GAP" not in text
        assert "DISCONTINUITY\n" not in text
        numbers = listed(text)
        assert numbers == list(range(numbers[-1] + 1))
        await until_listed(rig, rig.pods[1], video, numbers[-1])
        assert not await differences(rig, session, [f"video/{n}.m4s" for n in numbers])
        frames = await played_frames(rig, session, tmp_path / "played.mp4", numbers)
        source = frame_hashes(clip.path, "v")
        assert frames == source[: len(frames)]
        assert len(frames) == len(numbers) * GOP_SECONDS * 25


async def test_after_the_end_players_reach_the_end_and_a_new_session_is_another_one(
    tmp_path: Path, clip: Clip
) -> None:
    options = {"hls_mpegts": True, "hls_mpegts_end_list": True}
    async with play_rig(tmp_path, **options) as rig:
        [pod] = rig.pods
        async with published(rig, clip):
            session = await session_of(rig, pod)
            await until_listed(rig, pod, f"{session}/video.m3u8", 1)
            assert "#EXT-X-ENDLIST" not in await rig.text(pod, f"{session}/video.m3u8")
        async with asyncio.timeout(20):
            while (await rig.play_status(pod)).session is not None:
                await asyncio.sleep(0.1)
        for name in ("video.m3u8", "audio.m3u8", "mpegts.m3u8"):
            ended = await rig.text(pod, f"{session}/{name}")
            assert ended.rstrip().endswith("#EXT-X-ENDLIST")
            assert "PART:" not in ended
            assert "PRELOAD-HINT" not in ended
        for name in ("index.m3u8", "mpegts.m3u8", "screenshot.jpg"):
            assert (await rig.get(pod, name))[0] == 404
        assert 'type="static"' in await rig.text(pod, "index.mpd")
        async with published(rig, clip):
            assert await session_of(rig, pod) != session
            assert (await rig.get(pod, f"{session}/video.m3u8"))[0] == 200


async def test_the_next_part_is_waited_for_and_a_far_one_is_refused(
    tmp_path: Path, clip: Clip
) -> None:
    async with play_rig(tmp_path) as rig, published(rig, clip):
        [pod] = rig.pods
        session = await session_of(rig, pod)
        video = f"{session}/video.m3u8"
        text = await until_listed(rig, pod, video, 2)
        hint = re.search(r'PRELOAD-HINT:TYPE=PART,URI="video/(\d+)\.(\d+)\.m4s"', text)
        assert hint is not None
        number, part = int(hint[1]), int(hint[2])
        status, body = await rig.get(pod, f"{video}?_HLS_msn={number}&_HLS_part={part}")
        assert (status, f'"video/{number}.{part}.m4s"'.encode() in body) == (200, True)
        growing = int(listed(body.decode())[-1]) + 1
        status, body = await rig.get(pod, f"{session}/video/{growing}.m4s")
        assert (status, body) in ((204, b""), (503, b""))
        assert (await rig.get(pod, f"{session}/video/0.77.m4s"))[0] == 204
        assert (await rig.get(pod, f"{session}/video/{growing + 50}.0.m4s"))[0] == 404
        for query in ("_HLS_msn=999999", "_HLS_part=1", "_HLS_msn=x", "_HLS_msn=-1"):
            assert (await rig.get(pod, f"{video}?{query}"))[0] == 400, query


async def test_only_the_edge_reads_and_tokens_are_judged(tmp_path: Path, clip: Clip) -> None:
    async with play_rig(tmp_path, signed=True) as rig:
        [pod] = rig.pods
        rig.write_key(pod, "key", "new-key")
        rig.write_key(pod, "previousKey", "old-key")
        await rig.until_found(pod, "ready")
        async with rig.client.get(f"{pod.url}/info.json") as answer:
            assert answer.status == 401
        async with rig.client.get(f"{pod.url}/sibling/session") as answer:
            assert answer.status == 401
        verdicts = {
            sign("ns", "news", "new-key", 9_999_999_999): "allow",
            sign("ns", "news", "old-key", 9_999_999_999): "allow",
            sign("ns", "news", "no-key", 9_999_999_999): "deny",
            sign("ns", "other", "new-key", 9_999_999_999): "deny",
            sign("ns", "news", "new-key", 1_000): "expired",
            "9999999999~" + "0" * 64: "deny",
            "": "deny",
            "garbage": "deny",
        }
        for token, verdict in verdicts.items():
            assert f'"verdict": "{verdict}"' in await rig.text(pod, f"access?token={token}"), token
        for path in ("nothing", "0123456789abcdef/video/1.m4s", "x" * 3_000):
            assert (await rig.get(pod, path))[0] in (404, 410), path


async def test_the_screenshot_is_the_newest_keyframe(tmp_path: Path, clip: Clip) -> None:
    async with play_rig(tmp_path, screenshot_seconds=2) as rig, published(rig, clip):
        [pod] = rig.pods
        await session_of(rig, pod)
        status, first = await rig.get(pod, "screenshot.jpg")
        assert status == 200
        (tmp_path / "shot.jpg").write_bytes(first)
        entries = ["-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0"]
        probed = subprocess.run(
            ["ffprobe", "-v", "error", *entries, str(tmp_path / "shot.jpg")],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        assert probed.stdout.strip() == "mjpeg,640,360"
        await asyncio.sleep(4)
        assert (await rig.get(pod, "screenshot.jpg"))[1] != first
