"""The last status of each object's media pod, with the time since its last sign of life."""

from __future__ import annotations

from dataclasses import dataclass

from sluice_media.contract import PodStatus
from sluice_operator.engine.clock import Clock


@dataclass(slots=True)
class _LastAnswer:
    """The last answer of a pod."""

    pod_uid: str
    pod_created: str
    """creationTimestamp, which sorts as text."""
    status: PodStatus
    alive_at: float
    """Monotonic time of the last answer or heartbeat. A heartbeat confirms the last answer."""


class Samples:
    """Last answers by the uid of the object. They outlive the pod, but not the object."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answers: dict[str, _LastAnswer] = {}

    def answered(
        self, owner_uid: str, pod_uid: str, pod_created: str, status: PodStatus
    ) -> PodStatus | None:
        """Store an answer and return the former one.

        The answer of an older pod never replaces the answer of a newer pod."""
        former = self._answers.get(owner_uid)
        if former is not None and former.pod_created > pod_created:
            return former.status
        now = self._clock.monotonic()
        self._answers[owner_uid] = _LastAnswer(pod_uid, pod_created, status, now)
        return former.status if former is not None else None

    def heartbeat(self, owner_uid: str, pod_uid: str) -> None:
        """Note a heartbeat of the pod: its last answer is still valid."""
        answer = self._answers.get(owner_uid)
        if answer is not None and answer.pod_uid == pod_uid:
            answer.alive_at = self._clock.monotonic()

    def last(self, owner_uid: str) -> tuple[PodStatus, float] | None:
        """Return the last answer and the seconds since the last sign of life; None without any."""
        answer = self._answers.get(owner_uid)
        if answer is None:
            return None
        return answer.status, self._clock.monotonic() - answer.alive_at

    def forget(self, owner_uid: str) -> None:
        """Forget the answers of an object's pods."""
        self._answers.pop(owner_uid, None)
