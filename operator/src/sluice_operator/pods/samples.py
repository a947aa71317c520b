"""The last status of each object's media pods, with the time since the last sign of life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from sluice_media.contract import PlayStatus, PodStatus
from sluice_operator.engine.clock import Clock

S = TypeVar("S", bound=PodStatus)


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
    """Last answers by the uid of the object.

    A role with one pod has one answer: the one of its newest pod. It outlives the pod, but not the
    object. Play pods have an answer each, which ends with the pod."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answers: dict[str, dict[str, _LastAnswer]] = {}
        """uid of the object -> role, or uid of a play pod -> answer."""

    def answered(
        self, owner_uid: str, pod_uid: str, pod_created: str, status: PodStatus
    ) -> PodStatus | None:
        """Store an answer and return the former one.

        The answer of an older pod never replaces the answer of a newer pod."""
        answers = self._answers.setdefault(owner_uid, {})
        slot = pod_uid if isinstance(status, PlayStatus) else status.role
        former = answers.get(slot)
        if former is not None and former.pod_created > pod_created:
            return former.status
        now = self._clock.monotonic()
        answers[slot] = _LastAnswer(pod_uid, pod_created, status, now)
        return former.status if former is not None else None

    def heartbeat(self, owner_uid: str, pod_uid: str) -> None:
        """Note a heartbeat of the pod: its last answer is still valid."""
        for answer in self._answers.get(owner_uid, {}).values():
            if answer.pod_uid == pod_uid:
                answer.alive_at = self._clock.monotonic()

    def each(self, owner_uid: str, model: type[S]) -> list[tuple[S, float]]:
        """Return the last answers of this kind, each with the seconds since the pod's last sign of
        life."""
        now = self._clock.monotonic()
        return [
            (answer.status, now - answer.alive_at)
            for answer in self._answers.get(owner_uid, {}).values()
            if isinstance(answer.status, model)
        ]

    def last(self, owner_uid: str, model: type[S]) -> tuple[S, float] | None:
        """Return the last answer of the role's single pod; None without any."""
        return next(iter(self.each(owner_uid, model)), None)

    def lose(self, owner_uid: str, pod_uid: str) -> None:
        """Forget the answer of a play pod that is gone."""
        self._answers.get(owner_uid, {}).pop(pod_uid, None)

    def forget(self, owner_uid: str) -> None:
        """Forget the answers of an object's pods."""
        self._answers.pop(owner_uid, None)
