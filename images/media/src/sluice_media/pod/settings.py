"""What a pod learns from its environment: paths, ports and its own identity. Never a key."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from sluice_media import contract


class PodSettings(BaseSettings):
    """Settings that every role of a stream's, a recording's or a store's pod has in common."""

    model_config = SettingsConfigDict(
        env_prefix="SLUICE_", populate_by_name=True, extra="ignore", frozen=True
    )

    pod_uid: str = Field(default="", validation_alias="POD_UID")
    """Comes back in /v1/status, so that nobody takes another pod's answer for ours."""
    config_file: Path = Path(contract.CONFIG_FILE)
    keys_dir: Path = Path(contract.KEYS_DIR)
    spool_dir: Path = Path(contract.SPOOL_DIR)
    store_dir: Path = Path(contract.STORE_DIR)
    bind: str = "0.0.0.0"  # noqa: S104  a pod's own address is not known beforehand
    hub_port: int = contract.HUB_PORT
    status_port: int = contract.STATUS_PORT
    store_port: int = contract.STORE_PORT
    log_level: str = "INFO"
    log_format: str = "json"
    """json or text"""
