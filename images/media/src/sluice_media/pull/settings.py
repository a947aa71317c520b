"""What is to be pulled, out of a pod's configuration and its keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import SecretStr

from sluice_media.contract import PULL_DIR, AddressGuard, GivenUp, IngestConfig

__all__ = ["MAX_URIS", "PullSettings", "pull_settings"]

MAX_URIS = 16


@dataclass(slots=True, frozen=True)
class PullSettings:
    uris: tuple[SecretStr | None, ...]
    """None: the Secret has no such key (yet)."""
    generation: int
    restart: str
    given_up: bool
    stall_seconds: float
    retry_seconds: float
    inactivity_seconds: float
    """0: never."""
    warm: bool
    takeover_seconds: float
    guard: AddressGuard

    @property
    def asked(self) -> GivenUp:
        """What a giving up belongs to."""
        return GivenUp(generation=self.generation, restart=self.restart)


def pull_settings(
    config: IngestConfig, key: Callable[[str], SecretStr | None]
) -> PullSettings | None:
    """None when nothing is to be pulled. ``key`` reads a file below KEYS_DIR."""
    pull = config.pull
    if pull is None or not config.active or not pull.uris:
        return None
    return PullSettings(
        uris=tuple(
            SecretStr(uri) if uri is not None else key(f"{PULL_DIR}/{index}")
            for index, uri in enumerate(pull.uris[:MAX_URIS])
        ),
        generation=config.generation,
        restart=pull.restart,
        given_up=pull.given_up,
        stall_seconds=pull.stall_seconds,
        retry_seconds=pull.retry_seconds,
        inactivity_seconds=pull.inactivity_seconds,
        warm=pull.standby == "Warm",
        takeover_seconds=config.stall_milliseconds / 1_000,
        guard=pull.guard,
    )
