"""What pods ask the scheduler for is what they take on air, with full buffers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from sluice_operator.domain.observed import DomainSettings
from tests.kube.paths import REPOSITORY
from tests.kube.storage import quantity_bytes
from tests.support.broadcast_rig import KEY, broadcast_rig
from tests.support.heavy_clip import make_heavy_clip
from tests.support.rtmp_encoder import flv_tags, later, send_tags

CLIP_SECONDS = 30
SPEED = 8
LEAST_SHARE = 0.6
"""A request far above the need would keep nodes empty."""


def requested_mib(resources: object) -> float:
    assert isinstance(resources, dict)
    return quantity_bytes(resources["requests"]["memory"]) / (1 << 20)


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_a_stream_on_air_with_full_buffers_fits_into_what_is_asked_for(
    tmp_path: Path,
) -> None:
    """6 Mb/s and 75 s: the ring of the hub and the reserve of the gateway hold 60 s each.

    Measured at the pace of real time: hub 60 MiB idle and 111 MiB on air, gateway 63 MiB idle and
    46 MiB more for each publisher that no recorder acknowledges."""
    hub_mib = requested_mib(DomainSettings(media_image="x").resources["ingest"])
    values = yaml.safe_load((REPOSITORY / "charts/sluice/values.yaml").read_text("utf-8"))
    gateway_mib = requested_mib(values["gateway"]["resources"])
    clip = flv_tags(make_heavy_clip(tmp_path / "heavy.flv", CLIP_SECONDS))
    tags = [t for n in range(3) for t in later(clip, n * CLIP_SECONDS * 1_000)]
    (tmp_path / "pods").mkdir()
    async with broadcast_rig(tmp_path / "pods") as rig:
        idle = rig.memory_mib(rig.gateway)
        sending = asyncio.create_task(send_tags(rig.rtmp_port, f"news?{KEY}", tags, speed=SPEED))
        most_hub = most_gateway = 0.0
        while not sending.done():
            most_hub = max(most_hub, rig.memory_mib(rig.hub))
            most_gateway = max(most_gateway, rig.memory_mib(rig.gateway))
            await asyncio.sleep(0.1)
        await sending
    assert LEAST_SHARE * hub_mib < most_hub <= hub_mib
    each = most_gateway - idle
    # Eight times as fast as real time the reserve is full by its limit of 64 MiB.
    assert idle + 2 * each <= gateway_mib, f"idle {idle:.0f} MiB, a publisher {each:.0f} MiB"
