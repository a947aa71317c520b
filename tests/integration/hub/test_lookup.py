"""``POST /v1/legs/lookup`` and legs of units, over HTTP."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from aiohttp import web

from sluice_media.contract import HELLO_HEADER, LegGrant, LegHello
from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.hub.http import leg_endpoint
from sluice_media.timeline.framing import encode_unit
from sluice_media.timeline.leg_framing import encode_formats, encode_rejection
from tests.support.gateway_rig import until
from tests.support.hub_rig import AUDIO, GOP, VIDEO, Rig, picture

PASSPHRASE = "canary-passphrase"
BACKUP_KEY = "backup-key"


class LookupRig(Rig):
    def __init__(self, **changes: object) -> None:
        super().__init__(**{"protocols": ["RTMP", "SRT", "WHIP"], **changes})
        self.passphrase = PASSPHRASE
        self.backup_key = BACKUP_KEY

    async def lookup(self, key: str = "right-key", protocol: str = "SRT") -> tuple[int, Any]:
        hello = LegHello(protocol=protocol, connection="asking")
        headers = {HELLO_HEADER: hello.to_json(), "Authorization": f"Bearer {key}"}
        async with self.client.post(f"{self.url}/v1/legs/lookup", headers=headers) as answer:
            return answer.status, await answer.json()


async def test_a_lookup_says_leg_passphrase_and_latency_and_takes_nothing() -> None:
    async with LookupRig(srt_passphrase=True, srt_latency_milliseconds=700).running() as rig:
        assert isinstance(rig, LookupRig)
        status, body = await rig.lookup()
        assert status == 200
        grant = LegGrant.model_validate(body)
        assert grant == LegGrant(leg="primary", passphrase=PASSPHRASE, latency_milliseconds=700)
        assert rig.hub.legs == ()
        assert (await rig.lookup(BACKUP_KEY))[1]["leg"] == "backup"
        assert "passphrase" not in (await rig.lookup(protocol="RTMP"))[1]


async def test_without_the_key_nobody_learns_the_passphrase() -> None:
    async with LookupRig(srt_passphrase=True).running() as rig:
        assert isinstance(rig, LookupRig)
        status, body = await rig.lookup("wrong")
        assert (status, body["reason"]) == (401, "BadKey")
        assert PASSPHRASE not in str(body)


async def test_a_demanded_passphrase_that_is_not_there_refuses_instead_of_going_without() -> None:
    async with LookupRig(srt_passphrase=True).running() as rig:
        assert isinstance(rig, LookupRig)
        for bad in (None, "short", "x" * 80):
            rig.passphrase = bad
            status, body = await rig.lookup()
            assert (status, body["reason"]) == (503, "PassphraseMissing")
        rig.configure(srt_passphrase=False, protocols=["SRT"])
        assert (await rig.lookup())[0] == 200


async def test_a_lookup_is_refused_as_the_leg_would_be() -> None:
    async with LookupRig().running() as rig:
        assert isinstance(rig, LookupRig)
        async with rig.publisher():
            status, body = await rig.lookup()
            assert (status, body["reason"]) == (409, "Busy")
        assert (await rig.lookup(protocol="RIST"))[1]["reason"] == "ProtocolNotAllowed"
        rig.configure(active=False)
        assert (await rig.lookup())[1]["reason"] == "Disabled"
        assert rig.hub.last_rejection is not None
        assert rig.hub.last_rejection.reason == "Disabled"


async def test_whip_has_no_backup_leg() -> None:
    async with LookupRig().running() as rig:
        assert isinstance(rig, LookupRig)
        assert (await rig.lookup(protocol="WHIP"))[0] == 200
        status, body = await rig.lookup(BACKUP_KEY, "WHIP")
        assert (status, body["reason"]) == (403, "ProtocolNotAllowed")
        assert body["message"] == "WHIP has no backup leg"


async def test_a_leg_of_units_reaches_the_readers_as_it_is() -> None:
    async with LookupRig().running() as rig, rig.reading() as reader:
        assert isinstance(rig, LookupRig)
        async with rig.publisher(protocol="SRT") as publisher:
            assert publisher.status == 101
            publisher.raw(encode_formats((VIDEO, AUDIO), has_video=True))
            sent = []
            for number in range(GOP):
                flags = UnitFlags.NONE if number else UnitFlags.RANDOM_ACCESS
                dts = (1 << 33) + number * 3_600
                unit = AccessUnit(0, dts, dts + 100, flags, 0, picture(number, 50))
                sent.append(unit)
                publisher.raw(encode_unit(unit))
            await until(lambda: len(reader.units) == GOP)
            assert [u.payload for u in reader.units] == [u.payload for u in sent]
            assert {u.pts - u.dts for u in reader.units} == {100}


async def test_what_the_gateway_rejects_ends_the_leg_and_stands_in_the_status() -> None:
    async with LookupRig().running() as rig:
        assert isinstance(rig, LookupRig)
        async with rig.publisher(protocol="SRT") as publisher:
            publisher.raw(encode_rejection("UnsupportedCodec", "The stream is MPEG-2 video."))
            await until(publisher.closed.is_set)
        assert publisher.end_reason == "UnsupportedCodec"
        assert "MPEG-2" in publisher.lines[-1]["message"]
        assert rig.hub.last_rejection is not None
        assert rig.hub.last_rejection.reason == "UnsupportedCodec"


async def test_a_vanished_gateway_cannot_keep_a_leg(monkeypatch: pytest.MonkeyPatch) -> None:
    options: list[int] = []
    watch = leg_endpoint._watch_for_dead_peer

    def watched(request: web.Request) -> None:
        watch(request)
        assert request.transport is not None
        sock = request.transport.get_extra_info("socket")
        options.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))

    monkeypatch.setattr(leg_endpoint, "_watch_for_dead_peer", watched)
    async with LookupRig().running() as rig, rig.publisher():
        assert options == [leg_endpoint.DEAD_PEER_SECONDS * 1000]
