"""Configuration files: the newest one that makes sense, and never half of one."""

import asyncio
from pathlib import Path

import pytest

from sluice_media.contract import PodConfig
from sluice_media.pod.config_files import ConfigError, ConfigWatch


def write(tmp_path: Path, generation: int) -> Path:
    file = tmp_path / "config.json"
    body = PodConfig(namespace="n", name="a", uid="u", generation=generation)
    fresh = tmp_path / "fresh"
    fresh.write_text(body.to_json())
    fresh.replace(file)
    return file


async def test_a_changed_file_and_a_changed_key_are_both_noticed(tmp_path: Path) -> None:
    watch = ConfigWatch(PodConfig, write(tmp_path, 1), tmp_path / "keys")
    assert watch.config.generation == 1
    assert watch.key("hub/token") is None
    changes = watch.changes()
    write(tmp_path, 2)
    assert (await asyncio.wait_for(anext(changes), 20)).generation == 2
    (tmp_path / "keys" / "hub").mkdir(parents=True)
    (tmp_path / "keys" / "hub" / "token").write_text("s3cret\n")
    await asyncio.wait_for(anext(changes), 5)
    key = watch.key("hub/token")
    assert key is not None
    assert key.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(key)


async def test_a_broken_file_leaves_the_former_configuration_in_force(tmp_path: Path) -> None:
    file = write(tmp_path, 1)
    watch = ConfigWatch(PodConfig, file, tmp_path / "keys")
    changes = watch.changes()
    file.write_text("{")
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0.6)
    assert watch.config.generation == 1
    write(tmp_path, 3)
    assert (await asyncio.wait_for(waiting, 20)).generation == 3


def test_a_missing_file_is_an_error_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        ConfigWatch(PodConfig, tmp_path / "none.json", tmp_path)
