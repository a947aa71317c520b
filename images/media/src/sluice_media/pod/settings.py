"""Settings from a pod's environment: paths, ports and the pod's identity. They contain no keys."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from sluice_media import contract


class PodSettings(BaseSettings):
    """Settings of the roles ingest, record, push, store and play."""

    model_config = SettingsConfigDict(
        env_prefix="SLUICE_", populate_by_name=True, extra="ignore", frozen=True
    )

    pod_uid: str = Field(default="", validation_alias="POD_UID")
    """Uid of the pod. ``/v1/status`` returns it, so that a caller detects the answer of another
    pod."""
    config_file: Path = Path(contract.CONFIG_FILE)
    keys_dir: Path = Path(contract.KEYS_DIR)
    spool_dir: Path = Path(contract.SPOOL_DIR)
    store_dir: Path = Path(contract.STORE_DIR)
    bind: str = "0.0.0.0"  # noqa: S104  the address of the pod is not known beforehand
    hub_port: int = contract.HUB_PORT
    status_port: int = contract.STATUS_PORT
    store_port: int = contract.STORE_PORT
    play_port: int = contract.PLAY_PORT
    log_level: str = "INFO"
    log_format: str = "json"
    """``json`` or ``text``."""
