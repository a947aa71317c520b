"""One Lease (coordination.k8s.io/v1), so that two operators never write at the same time.

The rules are client-go's: whoever finds the Lease unchanged for its whole duration, *measured on
its own clock since it first saw it like that*, may take it, so no clocks are compared. The holder
stops leading after `renew_deadline_seconds` without a successful renewal, counted from when that
renewal was *sent*; the others wait for the longer `lease_seconds`, counted from when they *saw*
it. Leadership therefore ends before anybody else can begin, whatever was lost in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from sluice_operator.engine.clock import Clock
from sluice_operator.engine.controller import Api
from sluice_operator.kube.errors import ApiError, ConflictError, NotFoundError
from sluice_operator.kube.resources import LEASES

_DELETED = ("", "")

_log = structlog.get_logger(__name__)


class LeadershipLostError(RuntimeError):
    """Somebody else may lead from now on: stop writing at once."""


@dataclass(slots=True, frozen=True)
class LeaseTimes:
    lease_seconds: float = 15.0
    """How long others wait after the last change that they saw."""
    renew_deadline_seconds: float = 10.0
    """How long we go on leading after the last renewal that succeeded; less than lease_seconds."""
    retry_seconds: float = 2.0
    """Between renewals."""
    look_seconds: float = 0.5
    """Between looks at somebody else's Lease: after a rollout nobody leads for so long."""

    def __post_init__(self) -> None:
        if not self.retry_seconds < self.renew_deadline_seconds < self.lease_seconds:
            raise ValueError("retry < renew deadline < lease duration must hold")


class Leader:
    """``identity`` must be this process's alone; a restart in the same pod may keep it."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        *,
        namespace: str,
        name: str,
        identity: str,
        times: LeaseTimes | None = None,
    ) -> None:
        self._api = api
        self._clock = clock
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._times = times or LeaseTimes()
        self._seen: tuple[str, str] | None = None
        """Holder and resource version, as last seen."""
        self._seen_at = 0.0
        self._lease: dict[str, Any] | None = None
        self._renewed_at = 0.0

    @property
    def is_leading(self) -> bool:
        """Whether writing is allowed at this very moment."""
        age = self._clock.monotonic() - self._renewed_at
        return self._lease is not None and age < self._times.renew_deadline_seconds

    async def acquire(self) -> None:
        """Returns once we lead."""
        waiting_for = ""
        while not await self._try():
            holder = self._seen[0] if self._seen else ""
            if holder and holder != waiting_for:
                _log.info("waiting_for_lease", holder=holder)
                waiting_for = holder
            await self._clock.sleep(self._times.look_seconds)
        _log.info("leading", identity=self._identity)

    async def hold(self) -> None:
        """Renews for ever; raises LeadershipLostError before anybody else can lead."""
        while True:
            await self._clock.sleep(self._times.retry_seconds)
            remaining = (
                self._renewed_at + self._times.renew_deadline_seconds - self._clock.monotonic()
            )
            if remaining <= 0 or not await self._renew(remaining):
                self._lease = None
                raise LeadershipLostError(f"lease {self._namespace}/{self._name} was not renewed")

    async def release(self) -> None:
        """Lets the next one begin at once; best effort."""
        if self._lease is None:
            return
        lease, self._lease = self._lease, None
        lease["spec"] = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            await self._api.replace(lease)
        except ApiError as error:
            _log.warning("lease_not_released", error=str(error))

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[None]:
        """Holds the Lease while the block runs; it is cancelled when leadership is lost."""
        await self.acquire()
        try:
            async with asyncio.TaskGroup() as tasks:
                holding = tasks.create_task(self.hold(), name="lease")
                yield
                holding.cancel()
        finally:
            await self.release()

    async def _renew(self, remaining_seconds: float) -> bool:
        """One try, bounded by what is left. True: we still lead, renewed or not."""
        try:
            async with asyncio.timeout(remaining_seconds):
                if await self._try():
                    return True
        except TimeoutError:
            return False
        return self.is_leading

    async def _try(self) -> bool:
        """Takes or renews the Lease if we may. Errors count as no."""
        sent_at = self._clock.monotonic()
        try:
            lease = self._lease or await self._api.get(LEASES, self._namespace, self._name)
            if self._lease is None and not self._may_take(lease):
                return False
            taken = await self._api.replace(self._with_us(lease))
        except NotFoundError:
            created = await self._create() if self._may_create() else None
            if created is None:
                return False
            taken = created
        except ConflictError:
            # Somebody wrote it: if we held it, we find out whether it is still ours.
            return await self._look_again()
        except ApiError as error:
            _log.warning("lease_not_reached", error=str(error))
            return False
        self._lease, self._renewed_at = taken, sent_at
        return True

    async def _look_again(self) -> bool:
        if self._lease is None:
            return False
        try:
            lease = await self._api.get(LEASES, self._namespace, self._name)
        except ApiError:
            return False
        ours = lease["spec"].get("holderIdentity") == self._identity
        # Still ours (somebody annotated it, say): the next renewal takes this version.
        self._lease = lease if ours else None
        return False

    def _may_take(self, lease: dict[str, Any]) -> bool:
        holder = lease.get("spec", {}).get("holderIdentity") or ""
        if holder in ("", self._identity):
            return True
        state = (holder, str(lease["metadata"]["resourceVersion"]))
        now = self._clock.monotonic()
        if state != self._seen:
            self._seen, self._seen_at = state, now
            return False
        return now - self._seen_at >= self._times.lease_seconds

    def _may_create(self) -> bool:
        """There is no Lease. If there was one, its holder may not know yet that it is deleted."""
        self._lease = None
        if self._seen is None:
            return True
        now = self._clock.monotonic()
        if self._seen != _DELETED:
            self._seen, self._seen_at = _DELETED, now
        return now - self._seen_at >= self._times.lease_seconds

    def _with_us(self, lease: dict[str, Any]) -> dict[str, Any]:
        former = lease.get("spec", {})
        ours = former.get("holderIdentity") == self._identity
        now = _micro_time(self._clock.now())
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._times.lease_seconds),
            "renewTime": now,
            "acquireTime": former.get("acquireTime", now) if ours else now,
            "leaseTransitions": former.get("leaseTransitions", 0) + (0 if ours else 1),
        }
        return {**lease, "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec}

    async def _create(self) -> dict[str, Any] | None:
        meta = {"name": self._name, "namespace": self._namespace}
        lease = self._with_us({"metadata": meta})
        try:
            return await self._api.create(lease)
        except ApiError as error:
            _log.warning("lease_not_created", error=str(error))
            return None


def _micro_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
