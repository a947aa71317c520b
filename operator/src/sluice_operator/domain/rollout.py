"""When a changed pod template may reach the pods: nothing on air is ever restarted by us.

While a stream is on air its Deployment is applied with ``paused: true``: the new template is there,
drift is repaired, nothing rolls. Another Secret of the user waits like every other change; until
the pod is replaced, its configuration names the keys that the pod has mounted. When the stream is
idle the hub is first asked to refuse new legs, and the Deployment is unpaused once the hub has
echoed that, so that no publisher can come in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sluice_operator.api.v1alpha1.reasons import UpdatePendingReason
from sluice_operator.domain.decision import Condition
from sluice_operator.domain.manifests.pod import users_keys
from sluice_operator.domain.names import TEMPLATE_ANNOTATION
from sluice_operator.domain.pod_view import PodView, Raw


@dataclass(slots=True, frozen=True)
class Use:
    """What the pod does at this moment, measured."""

    known: bool
    """False: the pod does not answer."""
    busy: bool = False
    """Replacing the pod would be seen by somebody."""
    drained: bool = True
    """It refuses new work already (always true for pods that nobody connects to)."""


@dataclass(slots=True, frozen=True)
class Rollout:
    paused: bool = False
    drain: bool = False
    pending: bool = False
    """A changed template waits."""
    rolling: bool = False
    """Pods of another template are about to go: they need no refreshed configuration."""

    def condition(self) -> Condition:
        if self.pending:
            return Condition(
                "UpdatePending",
                "True",
                UpdatePendingReason.WAITING_FOR_IDLE,
                "A changed pod (a new version, other resources or another Secret) waits until the "
                "stream is off air; with updatePolicy: Immediate it does not wait.",
            )
        if self.rolling:
            return Condition(
                "UpdatePending",
                "False",
                UpdatePendingReason.ROLLING_OUT,
                "The pod is being replaced.",
            )
        return Condition(
            "UpdatePending",
            "False",
            UpdatePendingReason.UP_TO_DATE,
            "The pod has the present version.",
        )


def plan_rollout(
    *,
    deployment: Raw | None,
    pods: Sequence[PodView],
    template_hash: str,
    immediate: bool,
    use: Use,
) -> Rollout:
    """Whether the Deployment is applied paused, and whether the hub shall drain."""
    outdated = [p for p in pods if not p.terminating and p.template_hash != template_hash]
    if deployment is None or not outdated:
        return Rollout()
    if immediate or _already_unpaused(deployment, template_hash) or _nobody_home(outdated, use):
        return Rollout(rolling=True)
    if not use.known or use.busy:
        return Rollout(paused=True, pending=True)
    if not use.drained:
        return Rollout(paused=True, drain=True, pending=True)
    return Rollout(rolling=True)


def lacks_users_keys(pods: Sequence[PodView], template: Raw) -> bool:
    """Return whether some pod mounts other keys of the user than ``template`` does."""
    wanted = users_keys(template["spec"]["volumes"])
    return any(users_keys(pod.volumes) != wanted for pod in pods if not pod.terminating)


def _already_unpaused(deployment: Raw, template_hash: str) -> bool:
    spec = deployment.get("spec") or {}
    annotations = spec.get("template", {}).get("metadata", {}).get("annotations") or {}
    return not spec.get("paused") and annotations.get(TEMPLATE_ANNOTATION) == template_hash


def _nobody_home(pods: Sequence[PodView], use: Use) -> bool:
    """No pod is ready and none answers: there is nothing on air to protect."""
    return not use.known and not any(pod.ready for pod in pods)
