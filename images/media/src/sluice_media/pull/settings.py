"""What is to be pulled, out of a pod's configuration and its keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from sluice_media.contract import PULL_CA_DIR, PULL_DIR, AddressGuard, GivenUp, IngestConfig
from sluice_media.net.trust import InvalidAuthorityError, client_context

MAX_URIS = 16


@dataclass(slots=True, frozen=True)
class PullSettings:
    uris: tuple[SecretStr | None, ...]
    """None: the Secret has no such key (yet)."""
    authorities: Mapping[int, SecretStr | None]
    """By index of a URI: PEM certificates that count instead of the public authorities'. None: the
    Secret has no such key (yet), so that nothing can be trusted."""
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
        authorities={index: key(f"{PULL_CA_DIR}/{index}") for index in pull.with_ca},
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


def pull_error(settings: PullSettings) -> tuple[str, str] | None:
    """What is wrong with the Secrets, as reason and sentence; sources are counted from 1."""
    for index, uri in enumerate(settings.uris):
        if uri is None:
            return "SecretKeyMissing", f"The URI of source {index + 1} is not there."
    for index, authority in settings.authorities.items():
        if authority is None:
            missing = f"The authority's certificate of source {index + 1} is not there."
            return "SecretKeyMissing", missing
        try:
            client_context(authority.get_secret_value())
        except InvalidAuthorityError as invalid:
            return "InvalidCertificate", f"Source {index + 1}: {invalid}"
    return None
