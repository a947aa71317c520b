"""Who may dial a target: the operator's word to one pusher, about one target."""

from __future__ import annotations

import hashlib
import hmac


def target_clearance(target_digest: str, hub_token: str) -> str:
    """16 hex digits that say "this target" to those who know both (HMAC-SHA256).

    The configuration is readable for everybody who may read ConfigMaps, so that it must not say
    more: a digest alone would let them check what they guess a stream key to be.
    """
    digest = hmac.new(hub_token.encode(), target_digest.encode(), hashlib.sha256)
    return digest.hexdigest()[:16]
