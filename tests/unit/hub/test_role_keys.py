"""Which keys an ingest pod takes from its files, and what it says when one is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice_media.contract import (
    INGEST_BACKUP_TOKEN_FILE,
    INGEST_TOKEN_FILE,
    SRT_PASSPHRASE_FILE,
    PullConfig,
)
from sluice_media.hub.legs.leg import LegName
from sluice_media.hub.role import _Role
from sluice_media.pod.settings import PodSettings
from tests.support.hub_world import config

ALL = {
    INGEST_TOKEN_FILE: "first",
    INGEST_BACKUP_TOKEN_FILE: "second",
    SRT_PASSPHRASE_FILE: "ten or more",
}


def role(folder: Path, files: dict[str, str], **changes: object) -> _Role:
    for name, text in files.items():
        path = folder / "keys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (folder / "config.json").write_text(config(**changes).to_json())
    made = _Role(PodSettings(config_file=folder / "config.json", keys_dir=folder / "keys"))
    made.keys = made.publisher_keys()
    return made


async def test_the_backup_key_counts_only_where_there_is_a_backup_leg(tmp_path: Path) -> None:
    without = role(tmp_path, ALL)
    assert {n: k.get_secret_value() for n, k in without.keys.items()} == {LegName.PRIMARY: "first"}
    both = role(tmp_path, ALL, backup=True, srt_passphrase=True)
    assert both.keys[LegName.BACKUP].get_secret_value() == "second"
    assert both.configuration_error() is None


@pytest.mark.parametrize(
    ("files", "changes", "reason"),
    [
        ({}, {}, "SecretKeyMissing"),
        ({INGEST_TOKEN_FILE: "a"}, {"backup": True}, "SecretKeyMissing"),
        ({INGEST_TOKEN_FILE: "a"}, {"srt_passphrase": True}, "PassphraseMissing"),
        (ALL | {SRT_PASSPHRASE_FILE: "short"}, {"srt_passphrase": True}, "PassphraseMissing"),
        ({}, {"pull": PullConfig(uris=["rtsp://h/s"])}, None),
    ],
)
async def test_what_is_missing_is_said_with_a_reason(
    tmp_path: Path, files: dict[str, str], changes: dict[str, object], reason: str | None
) -> None:
    error = role(tmp_path, files, **changes).configuration_error()
    assert (error[0] if error else None) == reason
