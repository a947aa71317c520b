"""The default StorageClass: a hostPath volume is made for each claim, and removed with the claim.

A small process watches claims and volumes. All nodes use the disk of the machine, so a volume can
be mounted on any node, and every access mode works. The requested size is enforced only in the
class ``sluice-sized``: there the volume is a file system in memory of exactly that size, for tests
with a full storage.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.kube.api import Api, ApiError
from tests.kube.commands import run
from tests.kube.console import say
from tests.kube.errors import KubeToolError
from tests.kube.mounts import unmount_below
from tests.kube.paths import REPOSITORY, Paths
from tests.kube.processes import Daemon

__all__ = ["Provisioner", "classes", "daemon", "publish", "quantity_bytes", "volume_for"]

PROVISIONER = "sluice.video/local"
DEFAULT_CLASS = "sluice-local"
SIZED_CLASS = "sluice-sized"
CLAIMS = "/api/v1/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
RETRY_SECONDS = 1.0
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}
_DECIMAL = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}


def quantity_bytes(text: str) -> int:
    """Return a Kubernetes quantity of storage in bytes, e.g. ``1Gi`` or ``500M``."""
    for suffix, factor in (_BINARY | _DECIMAL).items():
        if text.endswith(suffix):
            return int(Decimal(text.removesuffix(suffix)) * factor)
    return int(Decimal(text))


def classes() -> dict[str, dict[str, object]]:
    """Return API path → StorageClass."""

    def storage_class(name: str, *, default: bool) -> dict[str, object]:
        annotation = {"storageclass.kubernetes.io/is-default-class": str(default).lower()}
        return {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name, "annotations": annotation},
            "provisioner": PROVISIONER,
            "reclaimPolicy": "Delete",
            # A claim is bound before a pod uses it.
            "volumeBindingMode": "Immediate",
        }

    folder = "/apis/storage.k8s.io/v1/storageclasses"
    return {
        f"{folder}/{DEFAULT_CLASS}": storage_class(DEFAULT_CLASS, default=True),
        f"{folder}/{SIZED_CLASS}": storage_class(SIZED_CLASS, default=False),
    }


def publish(api: Api) -> None:
    """Create or repair the StorageClasses."""
    for path, body in classes().items():
        api.apply(path, body)


def daemon(paths: Paths) -> Daemon:
    """Return the provisioner as a daemon: this package, run by the present Python."""
    return Daemon(
        "provisioner",
        [sys.executable, "-m", "tests.kube", "provisioner"],
        {
            "PYTHONPATH": str(REPOSITORY),
            "SLUICE_STATE": str(paths.state),
            "SLUICE_CACHE": str(paths.cache),
        },
    )


def wants_volume(claim: Mapping[str, Any]) -> bool:
    """Return whether a claim waits for a volume of ours."""
    spec, status = claim["spec"], claim.get("status", {})
    return (
        spec.get("storageClassName") in (DEFAULT_CLASS, SIZED_CLASS)
        and not spec.get("volumeName")
        and status.get("phase") == "Pending"
        and "deletionTimestamp" not in claim["metadata"]
    )


def volume_for(claim: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the PersistentVolume for a claim, reserved for it."""
    metadata, spec = claim["metadata"], claim["spec"]
    name = f"pvc-{metadata['uid']}"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
        },
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "volumeMode": spec.get("volumeMode", "Filesystem"),
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": spec["storageClassName"],
            "hostPath": {"path": str(folder / name), "type": "Directory"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }


def to_be_removed(volume: Mapping[str, Any]) -> bool:
    """Return whether the claim of our volume is gone, so that the volume and its data can be
    removed."""
    annotations = volume["metadata"].get("annotations", {})
    return (
        annotations.get("pv.kubernetes.io/provisioned-by") == PROVISIONER
        and volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
        and volume.get("status", {}).get("phase") in ("Released", "Failed")
        and "deletionTimestamp" not in volume["metadata"]
    )


class Provisioner:
    """The provisioner: it makes and removes volumes according to the claims."""

    def __init__(self, api: Api, folder: Path) -> None:
        self._api = api
        self._folder = folder

    def run(self) -> None:
        """Watch claims in this thread and volumes in another one. Never return."""
        volumes = threading.Thread(
            target=self._watch, args=(VOLUMES, self.on_volume), daemon=True, name="volumes"
        )
        volumes.start()
        self._watch(CLAIMS, self.on_claim)

    def _watch(self, path: str, handle: Callable[[Mapping[str, Any]], None]) -> None:
        while True:
            try:
                for event in self._api.watch(path):
                    if event["type"] in ("ADDED", "MODIFIED"):
                        handle(event["object"])
            except (ApiError, KubeToolError, OSError) as error:
                # The next list has all objects, so failed work is repeated then.
                say(f"{path}: {error}")
                time.sleep(RETRY_SECONDS)

    def on_claim(self, claim: Mapping[str, Any]) -> None:
        """Make the directory and the volume for a claim that waits. Repeated calls change
        nothing."""
        if not wants_volume(claim):
            return
        volume = volume_for(claim, self._folder)
        path = Path(volume["spec"]["hostPath"]["path"])
        if not path.exists():
            path.mkdir(parents=True)
            if claim["spec"]["storageClassName"] == SIZED_CLASS:
                size = quantity_bytes(claim["spec"]["resources"]["requests"]["storage"])
                run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "tmpfs", path])
            # hostPath ignores fsGroup, so all users get the right to write.
            path.chmod(0o777)
        try:
            self._api.request("POST", VOLUMES, volume)
        except ApiError as error:
            if error.status != 409:
                raise
            return
        say(f"made {volume['metadata']['name']} for {claim['metadata']['name']}")
        self._announce(claim)

    def _announce(self, claim: Mapping[str, Any]) -> None:
        """Mark the claim as bound before Kubernetes' own controller enters the volume's name.

        The controller writes the name first and the phase later. A pod scheduled in between is
        refused by kubelet ("PVC is not bound"), which tries again only after 13 s.
        """
        metadata, spec = claim["metadata"], claim["spec"]
        status = {
            "phase": "Bound",
            "accessModes": spec["accessModes"],
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
        }
        path = f"/api/v1/namespaces/{metadata['namespace']}/persistentvolumeclaims"
        try:
            self._api.request(
                "PATCH",
                f"{path}/{metadata['name']}/status",
                {"metadata": {"uid": metadata["uid"]}, "status": status},
                content_type="application/merge-patch+json",
            )
        except ApiError as error:
            # Without this, the controller still binds the claim, but later.
            say(f"{metadata['name']}: {error}")

    def on_volume(self, volume: Mapping[str, Any]) -> None:
        """Remove a volume whose claim is gone, data first."""
        if not to_be_removed(volume):
            return
        name = volume["metadata"]["name"]
        path = self._folder / name
        unmount_below(path)
        shutil.rmtree(path, ignore_errors=True)
        try:
            self._api.request("DELETE", f"{VOLUMES}/{name}")
        except ApiError as error:
            if error.status != 404:
                raise
        say(f"removed {name}")
