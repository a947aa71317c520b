"""From a configuration and its keys to a target, or to what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import SecretStr

from sluice_media.contract import (
    STREAM_KEY_FILE,
    TARGET_CA_FILE,
    TARGET_PASSPHRASE_FILE,
    TARGET_URI_FILE,
    PusherConfig,
)
from sluice_media.net.address_guard import AddressRules
from sluice_media.net.trust import InvalidAuthorityError, client_context
from sluice_media.push.target import InvalidTargetError, Target, parse_target


def read_target(config: PusherConfig, key: Callable[[str], SecretStr | None]) -> Target:
    """The target that is configured; ``key`` reads a file below KEYS_DIR.

    Raises InvalidTargetError, also when the rules for addresses or the authority's certificate
    cannot be read: better now than at each connect.
    """

    def secret(file: str, what: str) -> SecretStr:
        found = key(file)
        if found is None:
            raise InvalidTargetError("SecretKeyMissing", f"The Secret with {what} has no such key.")
        return found

    stream_key, passphrase, ca = (
        secret(file, what) if wanted else None
        for wanted, file, what in (
            (config.has_stream_key, STREAM_KEY_FILE, "the stream key"),
            (config.has_passphrase, TARGET_PASSPHRASE_FILE, "the passphrase"),
            (config.has_ca, TARGET_CA_FILE, "the authority's certificate"),
        )
    )
    uri = SecretStr(config.uri) if config.uri else secret(TARGET_URI_FILE, "the URI")
    target = parse_target(uri, stream_key, passphrase=passphrase, ca=ca)
    try:
        client_context(target.ca_pem)
    except InvalidAuthorityError as invalid:
        raise InvalidTargetError("InvalidCertificate", str(invalid)) from None
    try:
        AddressRules.of(config.guard)
    except ValueError:
        # A rule that cannot be read must not be left out.
        raise InvalidTargetError(
            "InvalidGuard",
            "The chart's network ranges hold one that is no CIDR; nothing is dialled.",
        ) from None
    return target


def wish(config: PusherConfig) -> tuple[object, ...]:
    """What makes a running push begin anew when somebody changes it. The content of Secrets is
    not among it: that counts from the next connect on."""
    return (
        config.restart,
        config.uri,
        config.audio,
        config.video_codecs,
        config.has_stream_key,
        config.has_passphrase,
        config.has_ca,
    )


def duplicate_words(other: str) -> str:
    """What ``other``, a Restream's name, being there already means."""
    return (
        f"Restream {other} pushes to the same target with the same key: two publishers of one key "
        "cut each other off. Delete one of them, or give it a key of its own."
    )
