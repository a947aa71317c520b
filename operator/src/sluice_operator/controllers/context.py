"""Facts that every controller gathers: children, pods, status samples and tokens of an object."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from pydantic import SecretStr

from sluice_media.contract import PodStatus
from sluice_operator.controllers.targets import TargetIndex
from sluice_operator.domain.names import CHILDREN, ROLE, ROLE_LABEL, STATUS_SECRET, child_name
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
    """Return 128 random bits in hex."""
    return secrets.token_hex(16)


def secret_value(secret: Manifest | None, key: str) -> str | None:
    """Return a value of a Secret as text; None when it is missing, empty or not text."""
    encoded = ((secret or {}).get("data") or {}).get(key)
    if not encoded:
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode().strip() or None
    except (binascii.Error, UnicodeDecodeError):
        return None


class FirstRound(Protocol):
    """Progress of the first polls after a start; see `StatusObserver`."""

    @property
    def first_round_is_over(self) -> bool:
        """True when every pod was polled once."""

    def awaits_first_poll(self, owner_uid: str) -> bool:
        """Return whether a pod of the object was not polled yet."""


@dataclass(slots=True, kw_only=True)
class Context:
    """Sources of facts that all controllers share."""

    cache: Cache
    lookup: Lookup
    samples: Samples
    clock: Clock
    settings: DomainSettings
    started_at: float
    """Monotonic time in seconds at which the polling of pods began."""
    targets: TargetIndex = field(default_factory=TargetIndex)
    """Targets of the pushers."""
    edge_key: SecretStr | None = None
    """Key of the edge, from which the tokens of all streams are derived; None without an edge."""
    rounds: FirstRound | None = None
    """Progress of the first polls; None: every pod was polled."""

    def uptime_seconds(self, owner: Manifest, *, with_others: bool = False) -> float:
        """Return the time in seconds in which the object's pods could have answered.

        It is 0 while one of them waits for its first poll; ``with_others``: while any pod does."""
        if self.rounds is not None:
            waits = not self.rounds.first_round_is_over
            if waits and (with_others or self.rounds.awaits_first_poll(uid_of(owner))):
                return 0.0
        return self.clock.monotonic() - self.started_at

    async def children(
        self, owner: Manifest, more: Iterable[tuple[str, str, str]] = ()
    ) -> tuple[dict[tuple[str, str], Manifest], tuple[Conflict, ...]]:
        """Return our children by (kind, name), and the names that foreign objects have taken.

        ``more`` are children in addition to CHILDREN, in its format. Raises ApiError."""
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

    def pods(self, owner: Manifest, role: str | None = None) -> tuple[PodView, ...]:
        """Return the pods of an object, oldest first. Default: the pods with the role of its kind.

        A LiveStream has pods of two roles."""
        found = self.cache.select(POD_INDEX, uid_of(owner))
        namespace, wanted = owner["metadata"]["namespace"], role or ROLE[owner["kind"]]
        return tuple(
            pod_view(pod)
            for pod in found
            if pod["metadata"]["namespace"] == namespace
            and pod["metadata"]["labels"].get(ROLE_LABEL) == wanted
        )

    def sample(self, owner: Manifest, model: type[S]) -> Sample[S] | None:
        """Return the last status of the object's pod, with its age."""
        return next(iter(self.each_sample(owner, model)), None)

    def each_sample(self, owner: Manifest, model: type[S]) -> tuple[Sample[S], ...]:
        """Return the last status of each of the object's pods of one role, with its age."""
        found = self.samples.each(uid_of(owner), model)
        return tuple(Sample(status=status, age_seconds=age) for status, age in found)

    def referred(self, kind: str, owner: Manifest, name: str) -> Manifest | None:
        """Return an object of ours in the namespace of the owner, if it exists."""
        return self.cache.find(Key(kind, owner["metadata"]["namespace"], name))

    async def status_token(self, owner: Key, fresh: bool = False) -> SecretStr | None:
        """Return the bearer token of the object's pods. Raises ApiError.

        ``fresh``: read it again, because the pod refused the remembered token.
        """
        name = child_name(owner.name, STATUS_SECRET[owner.kind])
        age = 0.0 if fresh else _TOKEN_MAX_AGE_SECONDS
        secret = await self.lookup.find(SECRETS, owner.namespace, name, max_age_seconds=age)
        value = secret_value(secret, "token")
        return SecretStr(value) if value else None

    async def hub_token(self, stream: Manifest | None) -> str | None:
        """Return the token of a stream's hub, if both exist. Raises ApiError."""
        if stream is None:
            return None
        meta = stream["metadata"]
        name = child_name(meta["name"], STATUS_SECRET["LiveStream"])
        secret = await self.lookup.find(SECRETS, meta["namespace"], name)
        # A Secret of this name that a user made is not our token.
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
