"""Leader election by a Lease (coordination.k8s.io/v1), so that two operators never write together.

The rules are those of client-go. A process may take the Lease after it has seen it unchanged for
the whole lease duration, measured by its own clock. So no clocks are compared. The holder stops
leading after `renew_deadline_seconds` without a successful renewal, counted from the time at which
the last renewal was *sent*. The others wait for the longer `lease_seconds`, counted from the time
at which they *saw* that renewal. So the leader always stops before the next one starts, even when
messages are lost.
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
    """Another process may lead from now on: stop writing at once."""


@dataclass(slots=True, frozen=True)
class LeaseTimes:
    """Durations of the leader election."""

    lease_seconds: float = 15.0
    """Time after the last seen change of the Lease until another process may take it."""
    renew_deadline_seconds: float = 10.0
    """Time after the last successful renewal until the leader stops; less than lease_seconds."""
    retry_seconds: float = 2.0
    """Pause between renewals."""
    look_seconds: float = 0.5
    """Pause between reads of another process's Lease. After a rollout there is no leader for up to
    this time."""

    def __post_init__(self) -> None:
        if not self.retry_seconds < self.renew_deadline_seconds < self.lease_seconds:
            raise ValueError("retry < renew deadline < lease duration must hold")


class Leader:
    """Membership of this process in the leader election.

    ``identity`` must be unique. A container that restarts in its pod may keep it."""

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
        """Holder and resource version at the last read."""
        self._seen_at = 0.0
        self._lease: dict[str, Any] | None = None
        self._renewed_at = 0.0

    @property
    def is_leading(self) -> bool:
        """True while this process may write."""
        age = self._clock.monotonic() - self._renewed_at
        return self._lease is not None and age < self._times.renew_deadline_seconds

    async def acquire(self) -> None:
        """Wait until this process leads."""
        waiting_for = ""
        while not await self._try():
            holder = self._seen[0] if self._seen else ""
            if holder and holder != waiting_for:
                _log.info("waiting_for_lease", holder=holder)
                waiting_for = holder
            await self._clock.sleep(self._times.look_seconds)
        _log.info("leading", identity=self._identity)

    async def hold(self) -> None:
        """Renew the Lease for ever. Raises LeadershipLostError before another process can lead."""
        while True:
            await self._clock.sleep(self._times.retry_seconds)
            remaining = (
                self._renewed_at + self._times.renew_deadline_seconds - self._clock.monotonic()
            )
            if remaining <= 0 or not await self._renew(remaining):
                self._lease = None
                raise LeadershipLostError(f"lease {self._namespace}/{self._name} was not renewed")

    async def release(self) -> None:
        """Give the Lease back, so that the next leader starts at once. Errors are ignored."""
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
        """Hold the Lease while the block runs. The block is cancelled when leadership is lost."""
        await self.acquire()
        try:
            async with asyncio.TaskGroup() as tasks:
                holding = tasks.create_task(self.hold(), name="lease")
                yield
                holding.cancel()
        finally:
            await self.release()

    async def _renew(self, remaining_seconds: float) -> bool:
        """Try one renewal within the remaining time; return whether this process still leads."""
        try:
            async with asyncio.timeout(remaining_seconds):
                if await self._try():
                    return True
        except TimeoutError:
            return False
        return self.is_leading

    async def _try(self) -> bool:
        """Take or renew the Lease if that is allowed; return False on errors too."""
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
            # Another process wrote the Lease. Read it again to see if it is still ours.
            return await self._read_again()
        except ApiError as error:
            _log.warning("lease_not_reached", error=str(error))
            return False
        self._lease, self._renewed_at = taken, sent_at
        return True

    async def _read_again(self) -> bool:
        if self._lease is None:
            return False
        try:
            lease = await self._api.get(LEASES, self._namespace, self._name)
        except ApiError:
            return False
        ours = lease["spec"].get("holderIdentity") == self._identity
        # Still ours, for example after an annotation: the next renewal uses this version.
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
        """Return whether to create the missing Lease.

        If it was deleted, its holder may still lead. So wait for the lease duration first."""
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
