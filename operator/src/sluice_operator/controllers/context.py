"""The context of a controller: children, pods, samples and tokens, for every kind alike."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from pydantic import SecretStr

from sluice_media.contract import PodStatus
from sluice_operator.controllers.targets import TargetBook
from sluice_operator.domain.names import CHILDREN, STATUS_SECRET, child_name
from sluice_operator.domain.observed import Conflict, DomainSettings, Sample
from sluice_operator.domain.pod_view import PodView, pod_view
from sluice_operator.engine.cache import Cache, Manifest, uid_of
from sluice_operator.engine.children import controller_of
from sluice_operator.engine.clock import Clock
from sluice_operator.engine.lookup import Lookup
from sluice_operator.engine.queue import Key
from sluice_operator.kube.resources import SECRETS, resource_of
from sluice_operator.pods.endpoints import POD_INDEX
from sluice_operator.pods.samples import Samples

_TOKEN_MAX_AGE_SECONDS = 600.0

S = TypeVar("S", bound=PodStatus)


def fresh_token() -> str:
    """128 random bits in hex."""
    return secrets.token_hex(16)


def secret_value(secret: Manifest | None, key: str) -> str | None:
    """A value of a Secret as text; None when it is missing, empty or no text."""
    encoded = ((secret or {}).get("data") or {}).get(key)
    if not encoded:
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode().strip() or None
    except (binascii.Error, UnicodeDecodeError):
        return None


class FirstRound(Protocol):
    """How far the polling has come; see `StatusObserver`."""

    @property
    def first_round_is_over(self) -> bool: ...

    def is_to_be_heard(self, owner_uid: str) -> bool: ...


@dataclass(slots=True)
class Context:
    """What all gatherers work with."""

    cache: Cache
    lookup: Lookup
    samples: Samples
    clock: Clock
    settings: DomainSettings
    started_at: float
    """Monotonic seconds at which the polling of pods began."""
    targets: TargetBook = field(default_factory=TargetBook)
    """Where pushers push to."""
    rounds: FirstRound | None = None
    """Which pods were not asked yet since the polling began; None: all were."""

    def uptime_seconds(self, owner: Manifest, *, with_others: bool = False) -> float:
        """How long an object's pods could have been heard by now; 0 while one of them, or
        (``with_others``) any pod at all, waits to be asked for the first time."""
        if self.rounds is not None:
            waits = not self.rounds.first_round_is_over
            if waits and (with_others or self.rounds.is_to_be_heard(uid_of(owner))):
                return 0.0
        return self.clock.monotonic() - self.started_at

    async def children(
        self, owner: Manifest, more: Iterable[tuple[str, str, str]] = ()
    ) -> tuple[dict[tuple[str, str], Manifest], tuple[Conflict, ...]]:
        """(children that are ours by (kind, name), names that are taken). Raises ApiError.

        ``more``: children beside those that an object of the kind always has, as in CHILDREN."""
        meta = owner["metadata"]
        found: dict[tuple[str, str], Manifest] = {}
        conflicts: list[Conflict] = []
        for api_version, kind, suffix in (*CHILDREN[owner["kind"]], *more):
            resource = resource_of({"apiVersion": api_version, "kind": kind})
            name = child_name(meta["name"], suffix)
            obj = await self.lookup.find(resource, meta["namespace"], name)
            if obj is None:
                continue
            if _is_controlled_by(obj, owner):
                found[kind, name] = _without_data(obj)
            else:
                conflicts.append(_conflict(obj, owner))
        return found, tuple(conflicts)

    def pods(self, owner: Manifest) -> tuple[PodView, ...]:
        found = self.cache.select(POD_INDEX, uid_of(owner))
        namespace = owner["metadata"]["namespace"]
        return tuple(pod_view(pod) for pod in found if pod["metadata"]["namespace"] == namespace)

    def sample(self, owner: Manifest, model: type[S]) -> Sample[S] | None:
        last = self.samples.last(uid_of(owner))
        if last is None or not isinstance(last[0], model):
            return None
        return Sample(status=last[0], age_seconds=last[1])

    def referred(self, kind: str, owner: Manifest, name: str) -> Manifest | None:
        """An object of ours in the same namespace."""
        return self.cache.find(Key(kind, owner["metadata"]["namespace"], name))

    async def status_token(self, owner: Key, fresh: bool = False) -> SecretStr | None:
        """What opens the API of an object's pods. Raises ApiError.

        ``fresh``: what was known was refused.
        """
        name = child_name(owner.name, STATUS_SECRET[owner.kind])
        age = 0.0 if fresh else _TOKEN_MAX_AGE_SECONDS
        secret = await self.lookup.find(SECRETS, owner.namespace, name, max_age_seconds=age)
        value = secret_value(secret, "token")
        return SecretStr(value) if value else None

    async def hub_token(self, stream: Manifest | None) -> str | None:
        """The token of a stream's hub, when the stream is there and has one. Raises ApiError."""
        if stream is None:
            return None
        meta = stream["metadata"]
        name = child_name(meta["name"], STATUS_SECRET["LiveStream"])
        secret = await self.lookup.find(SECRETS, meta["namespace"], name)
        # A user's Secret under that name is no token of ours.
        if secret is None or not _is_controlled_by(secret, stream):
            return None
        return secret_value(secret, "token")


def _is_controlled_by(obj: Manifest, owner: Manifest) -> bool:
    controller = controller_of(obj)
    return controller is not None and controller["uid"] == uid_of(owner)


def _conflict(obj: Manifest, owner: Manifest) -> Conflict:
    meta, controller = obj["metadata"], controller_of(obj)
    former_self = controller is not None and (controller["kind"], controller["name"]) == (
        owner["kind"],
        owner["metadata"]["name"],
    )
    return Conflict(
        kind=obj["kind"],
        name=meta["name"],
        held_by=f"{controller['kind']}/{controller['name']}" if controller else "",
        leaving=former_self or "deletionTimestamp" in meta,
    )


def _without_data(obj: Manifest) -> Manifest:
    if obj["kind"] != "Secret":
        return obj
    kept: Mapping[str, Any] = {k: v for k, v in obj.items() if k not in ("data", "stringData")}
    return kept
