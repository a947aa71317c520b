"""Names that the domain and the engine share: labels, annotations, children."""

from __future__ import annotations

GROUP = "sluice.video"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FINALIZER = f"{GROUP}/recording"

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "sluice"
"""Value of MANAGED_BY_LABEL on every child and on every pod."""
ROLE_LABEL = f"{GROUP}/role"
"""On pods and children: ingest, play, record, push or store."""
KIND_LABEL = f"{GROUP}/kind"
NAME_LABEL = f"{GROUP}/name"
UID_LABEL = f"{GROUP}/uid"
"""KIND, NAME and UID of the object that a pod or child belongs to. A pod's controller is a
ReplicaSet, so its object is found by these labels."""

CONFIG_ANNOTATION = f"{GROUP}/config"
"""On pods; see `sluice_media.contract.CONFIG_ANNOTATION`."""
KEEP_POD_ANNOTATIONS = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}
"""On pods on air: keep the cluster autoscaler and Karpenter from removing the node."""
TEMPLATE_ANNOTATION = f"{GROUP}/template"
"""On pod templates, and so on pods: digest of the template."""
ROTATE_ANNOTATION = f"{GROUP}/rotate-key"
"""On a LiveStream: a new value requests new publishing keys."""
ROTATE_PLAYBACK_ANNOTATION = f"{GROUP}/rotate-playback-key"
"""On a LiveStream: a new value requests a new key for signed playback URLs."""
ROTATED_ANNOTATION = f"{GROUP}/rotated-key"
"""On the ingest Secret and on the playback Secret: the last value of ROTATE_ANNOTATION or
ROTATE_PLAYBACK_ANNOTATION that was carried out. It is written in one request with the new key, so
that a crash cannot rotate twice."""
RESTART_ANNOTATION = f"{GROUP}/restart"
"""On a pulled LiveStream: a new value has sources that were given up tried again. On a Restream: a
new value makes its pusher connect again, with its present Secrets. On a Recording: it begins,
although its store holds an earlier one of its name."""

SESSION_ANNOTATION = f"{GROUP}/session-started-at"
"""On a Recording that autoRecord made: the start of its session."""
STREAM_UID_ANNOTATION = f"{GROUP}/stream-uid"
"""On a Recording that autoRecord made: uid of the LiveStream."""
STREAM_LABEL = f"{GROUP}/stream"
AUTOMATIC_LABEL = f"{GROUP}/automatic"
"""On a Recording that autoRecord made: name of the LiveStream, and ``true``."""

PLAY_ROLE = "play"
"""Role of the play pods, which are pods of a LiveStream beside the ingest pod."""
ROLE = {"LiveStream": "ingest", "Recording": "record", "Restream": "push", "MediaStore": "store"}
"""Kind -> role of its pods, which is also the suffix of its children's names. A LiveStream also has
pods of PLAY_ROLE."""

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
"""Kind -> every child that it can own, as (apiVersion, kind, suffix). gather() reads these
children."""

EDGE_SECRET_SUFFIX = "edge"
PLAYBACK_SECRET_SUFFIX = "playback"
PLAY_CHILDREN: tuple[tuple[str, str, str], ...] = (
    ("v1", "Secret", EDGE_SECRET_SUFFIX),
    ("v1", "Secret", PLAYBACK_SECRET_SUFFIX),
    ("v1", "ConfigMap", PLAY_ROLE),
    ("v1", "Service", PLAY_ROLE),
    ("apps/v1", "Deployment", PLAY_ROLE),
)
"""Further children of a LiveStream with playback, in the same format. They are deleted in this
order when playback is removed: the Deployment is watched, so it shows until the end that the others
may exist."""

STATUS_SECRET = {
    "LiveStream": "hub",
    "Recording": "record",
    "Restream": "push",
    "MediaStore": "store",
}
"""Kind -> suffix of the Secret with the bearer token for the pods of that kind, under the key
``token``. Requests to /v1/status need the token, also those to the hub's timeline and the store's
/v1/recordings. A Recording and a Restream have a copy of their stream's hub token. So the operator
can request their status after the stream was deleted."""


def child_name(owner: str, suffix: str) -> str:
    return f"{owner}-{suffix}"
