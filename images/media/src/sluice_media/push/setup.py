"""Reader of a configuration and its keys: a target, or the obstacle that forbids pushing."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from pydantic import SecretStr

from sluice_media.contract import (
    STREAM_KEY_FILE,
    TARGET_CA_FILE,
    TARGET_PASSPHRASE_FILE,
    TARGET_URI_FILE,
    ConfigErrorReason,
    PusherConfig,
    PushIdleReason,
    target_clearance,
)
from sluice_media.net.address_guard import AddressRules
from sluice_media.net.trust import InvalidAuthorityError, client_context
from sluice_media.push.target import InvalidTargetError, Target, parse_target


def read_target(config: PusherConfig, key: Callable[[str], SecretStr | None]) -> Target:
    """Return the configured target; ``key`` reads a file below KEYS_DIR.

    Raises InvalidTargetError. Address rules and certificates that cannot be read are found here,
    and not at each connect.
    """

    def secret(file: str, what: str) -> SecretStr:
        found = key(file)
        if found is None:
            raise InvalidTargetError(
                ConfigErrorReason.SECRET_KEY_MISSING,
                f"{what} is missing: the Secret, or its key, does not exist. Create it.",
            )
        return found

    stream_key, passphrase, ca = (
        secret(file, what) if wanted else None
        for wanted, file, what in (
            (config.has_stream_key, STREAM_KEY_FILE, "The stream key"),
            (config.has_passphrase, TARGET_PASSPHRASE_FILE, "The passphrase"),
            (config.has_ca, TARGET_CA_FILE, "The authority's certificate"),
        )
    )
    uri = SecretStr(config.uri) if config.uri else secret(TARGET_URI_FILE, "The URI")
    target = parse_target(uri, stream_key, passphrase=passphrase, ca=ca)
    try:
        client_context(target.ca_pem)
    except InvalidAuthorityError as invalid:
        raise InvalidTargetError(ConfigErrorReason.INVALID_CERTIFICATE, str(invalid)) from None
    try:
        AddressRules.of(config.guard)
    except ValueError:
        # Dialling without the rule could reach an address that the administrator denies.
        raise InvalidTargetError(
            ConfigErrorReason.INVALID_GUARD,
            "One of the chart's network ranges is not a CIDR, so no target is dialled. "
            "Ask the administrator to correct it.",
        ) from None
    return target


def is_cleared(config: PusherConfig, digest: str, hub_token: SecretStr | None) -> bool:
    """Return whether the operator has cleared the target with this ``target_digest``.

    A server disconnects one of two publishers with one key, and only pushers have the targets. Each
    pusher therefore shows a digest of its target, and dials when its configuration clears that
    digest.
    """
    if config.cleared_target is None:
        return True
    return hub_token is not None and hmac.compare_digest(
        config.cleared_target, target_clearance(digest, hub_token.get_secret_value())
    )


def find_obstacle(
    config: PusherConfig, error: tuple[str, str] | None, *, cleared: bool
) -> str | None:
    """Return the reason for which nothing may be pushed; None when pushing is allowed.

    ``error`` is the configuration's error: its reason and its sentence.
    """
    if not config.active:
        return PushIdleReason.DISABLED
    if error is not None:
        return error[0]
    if config.stream is None:
        return PushIdleReason.STREAM_NOT_FOUND
    return None if cleared else PushIdleReason.CHECKING_TARGET


def connection_options(config: PusherConfig) -> tuple[object, ...]:
    """Return the fields whose change closes a running connection and dials again.

    A changed Secret is not among them: it takes effect at the next connect.
    """
    return (
        config.restart,
        config.uri,
        config.audio,
        config.video_codecs,
        config.has_stream_key,
        config.has_passphrase,
        config.has_ca,
    )


def describe_duplicate(other: str) -> str:
    """Return the message for a target that the Restream ``other`` pushes to already."""
    return (
        f"Restream {other} pushes to the same target with the same key. Two publishers with one "
        "key disconnect each other. Delete one of the Restreams, or give it a key of its own."
    )
