"""Settings of the pull: a pod's configuration and its keys in, PullSettings out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from sluice_media.contract import (
    PULL_CA_DIR,
    PULL_DIR,
    AddressGuard,
    ConfigErrorReason,
    GivenUp,
    IngestConfig,
)
from sluice_media.net.trust import InvalidAuthorityError, client_context

MAX_URIS = 16


@dataclass(slots=True, frozen=True)
class PullSettings:
    """URIs of the sources, their trust, and the timeouts; see :class:`~.events.Plan`."""

    uris: tuple[SecretStr | None, ...]
    """URIs of the sources; None while the Secret has no such key."""
    authorities: Mapping[int, SecretStr | None]
    """PEM certificates by index of a URI; they replace the public authorities. None while the
    Secret has no such key: then no certificate is trusted."""
    generation: int
    restart: str
    given_up: bool
    stall_seconds: float
    retry_seconds: float
    inactivity_seconds: float
    """Time without delivery after which the pull gives up; 0 for never."""
    warm: bool
    takeover_seconds: float
    guard: AddressGuard

    @property
    def request(self) -> GivenUp:
        """The user's request for tries, to be reported when the pull gives up."""
        return GivenUp(generation=self.generation, restart=self.restart)


def pull_settings(
    config: IngestConfig, key: Callable[[str], SecretStr | None]
) -> PullSettings | None:
    """Return the settings, or None when there is nothing to pull.

    ``key`` reads a file below KEYS_DIR.
    """
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
    """Return reason and sentence for a fault of the Secrets. Sources are counted from 1."""
    for index, uri in enumerate(settings.uris):
        if uri is None:
            return (
                ConfigErrorReason.SECRET_KEY_MISSING,
                f"The Secret does not have the URI of source {index + 1}.",
            )
    for index, authority in settings.authorities.items():
        if authority is None:
            missing = f"The Secret does not have the CA certificate of source {index + 1}."
            return ConfigErrorReason.SECRET_KEY_MISSING, missing
        try:
            client_context(authority.get_secret_value())
        except InvalidAuthorityError as invalid:
            return ConfigErrorReason.INVALID_CERTIFICATE, f"Source {index + 1}: {invalid}"
    return None
