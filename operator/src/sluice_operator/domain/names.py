"""Names that both halves of the operator must agree on: labels, annotations, children.

Nothing here decides anything; it is the one home of every literal name.
"""

from __future__ import annotations

GROUP = "sluice.video"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FINALIZER = f"{GROUP}/recording"

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "sluice"
"""Value of MANAGED_BY_LABEL on every child and on every pod."""
ROLE_LABEL = f"{GROUP}/role"
"""On pods and children: ingest, record, push or store."""
KIND_LABEL = f"{GROUP}/kind"
NAME_LABEL = f"{GROUP}/name"
UID_LABEL = f"{GROUP}/uid"
"""KIND, NAME and UID of the object that a pod or child works for (a pod's controller is a
ReplicaSet, so the labels are the way back)."""

CONFIG_ANNOTATION = f"{GROUP}/config"
"""On pods; see `sluice_media.contract.CONFIG_ANNOTATION`."""
KEEP_POD_ANNOTATIONS = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}
"""On pods that are on air: what keeps the cluster autoscaler and Karpenter from removing a node."""
TEMPLATE_ANNOTATION = f"{GROUP}/template"
"""On pod templates, so on pods: digest of the template the pod was made from."""
ROTATE_ANNOTATION = f"{GROUP}/rotate-key"
"""On a LiveStream: a new value asks for a new publishing key."""
ROTATED_ANNOTATION = f"{GROUP}/rotated-key"
"""On the ingest Secret: the last value of ROTATE_ANNOTATION that was obeyed. It is written in one
request with the new token, so that a crash in between cannot rotate twice."""
RESTART_ANNOTATION = f"{GROUP}/restart"
"""On a Restream: a new value makes its pusher connect anew, with its Secrets as they are now. On a
Recording: it begins, although its store holds an earlier one of its name."""

SESSION_ANNOTATION = f"{GROUP}/session-started-at"
"""On a Recording that autoRecord made: the moment at which the session began that it is of."""
STREAM_UID_ANNOTATION = f"{GROUP}/stream-uid"
"""On the same: uid of the LiveStream."""
STREAM_LABEL = f"{GROUP}/stream"
AUTOMATIC_LABEL = f"{GROUP}/automatic"
"""On the same: name of the LiveStream, and that nobody asked for it by hand (``true``)."""

ROLE = {"LiveStream": "ingest", "Recording": "record", "Restream": "push", "MediaStore": "store"}
"""Kind -> role of its pods, which is also the suffix of its children's names."""

HUB_SECRET_SUFFIX = "hub"

CHILDREN: dict[str, tuple[tuple[str, str, str], ...]] = {
    "LiveStream": (
        ("v1", "Secret", "ingest"),
        ("v1", "Secret", HUB_SECRET_SUFFIX),
        ("v1", "ConfigMap", "ingest"),
        ("v1", "Service", "ingest"),
        ("apps/v1", "Deployment", "ingest"),
    ),
    "Recording": (
        ("v1", "Secret", "record"),
        ("v1", "ConfigMap", "record"),
        ("batch/v1", "Job", "record"),
    ),
    "Restream": (
        ("v1", "Secret", "push"),
        ("v1", "ConfigMap", "push"),
        ("apps/v1", "Deployment", "push"),
    ),
    "MediaStore": (
        ("v1", "Secret", "store"),
        ("v1", "ConfigMap", "store"),
        ("v1", "Service", "store"),
        ("apps/v1", "Deployment", "store"),
    ),
}
"""Kind -> every child it can own, as (apiVersion, kind, suffix): what gather() looks for."""

STATUS_SECRET = {
    "LiveStream": "hub",
    "Recording": "record",
    "Restream": "push",
    "MediaStore": "store",
}
"""Kind -> suffix of the Secret whose key ``token`` opens its pods' /v1/status (and the hub's
timeline, and the store's /v1/recordings). A Recording and a Restream hold a copy of their stream's
hub token, so that they can still be asked after the stream was deleted."""


def child_name(owner: str, suffix: str) -> str:
    return f"{owner}-{suffix}"
