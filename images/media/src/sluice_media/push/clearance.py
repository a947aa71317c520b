"""Whether the operator has compared a target with those of the other Restreams.

Two publishers with one key push each other off, and only pushers know their targets; so each shows
a digest of its own and dials once its configuration clears that digest.
"""

from __future__ import annotations

import hmac

from pydantic import SecretStr

from sluice_media.contract import PusherConfig, target_clearance


def is_cleared(config: PusherConfig, digest: str, hub_token: SecretStr | None) -> bool:
    """Whether the target with this ``target_digest`` may be dialled."""
    if config.cleared_target is None:
        return True
    return hub_token is not None and hmac.compare_digest(
        config.cleared_target, target_clearance(digest, hub_token.get_secret_value())
    )
