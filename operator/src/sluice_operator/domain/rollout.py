"""The rollout of a changed pod template. The operator never restarts a stream that is on air.

While a stream is on air its Deployment is applied with ``paused: true``: the new template is
stored and drift is repaired, but no pod is replaced. A change of the user's Secret waits like every
other change. Until the pod is replaced, its configuration names the keys that the pod has mounted.
When the stream is idle, the hub is first configured to refuse new legs (``drain``). The Deployment
is unpaused once the hub has echoed that, so that no publisher can connect in between.
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
    """The measured use of a pod."""

    known: bool
    """False: the pod does not answer."""
    busy: bool = False
    """The replacement of the pod would interrupt or lose something."""
    drained: bool = True
    """The pod already refuses new legs. Always true for pods that accept no connections."""


@dataclass(slots=True, frozen=True)
class Rollout:
    paused: bool = False
    drain: bool = False
    pending: bool = False
    """A changed template waits."""
    rolling: bool = False
    """Pods of another template are being replaced: they need no new configuration."""

    def beside(self, other: Rollout) -> Rollout:
        """Return the state of both together, for the condition."""
        return Rollout(pending=self.pending or other.pending, rolling=self.rolling or other.rolling)

    def condition(self) -> Condition:
        if self.pending:
            return Condition(
                "UpdatePending",
                "True",
                UpdatePendingReason.WAITING_FOR_IDLE,
                "The pod has changed (a new version, other resources or another Secret). It is "
                "replaced when the stream is off air, or at once with updatePolicy: Immediate.",
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
            "The pod is up to date.",
        )


def plan_rollout(
    *,
    deployment: Raw | None,
    pods: Sequence[PodView],
    template_hash: str,
    immediate: bool,
    use: Use,
) -> Rollout:
    """Return whether the Deployment is applied paused, and whether the hub shall drain."""
    outdated = [p for p in pods if not p.terminating and p.template_hash != template_hash]
    if deployment is None or not outdated:
        return Rollout()
    if immediate or _already_unpaused(deployment, template_hash) or _nothing_runs(outdated, use):
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


def _nothing_runs(pods: Sequence[PodView], use: Use) -> bool:
    """Return whether no pod is ready and none answers, so that nothing can be on air."""
    return not use.known and not any(pod.ready for pod in pods)
