"""The last word of each object's media pod, and how long ago its last sign of life was."""

from __future__ import annotations

from dataclasses import dataclass

from sluice_media.contract import PodStatus
from sluice_operator.engine.clock import Clock


@dataclass(slots=True)
class Heard:
    """One pod's last answer. ``heard_at`` moves on with each heartbeat: the pod stands by it."""

    pod_uid: str
    pod_created: str
    """creationTimestamp, which sorts as text."""
    status: PodStatus
    heard_at: float


class Samples:
    """Keyed by the uid of the object that the pod works for; survives the pod, not the object."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard: dict[str, Heard] = {}

    def answered(
        self, owner_uid: str, pod_uid: str, pod_created: str, status: PodStatus
    ) -> PodStatus | None:
        """Takes an answer in and returns the former one; a newer pod's is never replaced by an
        older one's."""
        former = self._heard.get(owner_uid)
        if former is not None and former.pod_created > pod_created:
            return former.status
        now = self._clock.monotonic()
        self._heard[owner_uid] = Heard(pod_uid, pod_created, status, now)
        return former.status if former is not None else None

    def heartbeat(self, owner_uid: str, pod_uid: str) -> None:
        """The pod lives, and its last answer still holds."""
        heard = self._heard.get(owner_uid)
        if heard is not None and heard.pod_uid == pod_uid:
            heard.heard_at = self._clock.monotonic()

    def last(self, owner_uid: str) -> tuple[PodStatus, float] | None:
        """(last answer, seconds since the last sign of life), or None when none ever answered."""
        heard = self._heard.get(owner_uid)
        if heard is None:
            return None
        return heard.status, self._clock.monotonic() - heard.heard_at

    def forget(self, owner_uid: str) -> None:
        self._heard.pop(owner_uid, None)
