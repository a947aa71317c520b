"""Where the tool keeps things: a cache that may always be deleted, and the cluster's state.

Both come from the environment (``SLUICE_CACHE``, ``SLUICE_STATE``), so that a machine can put
them on the disk it likes; neither is ever inside the checkout.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["REPOSITORY", "Paths"]

#: The checkout this package lies in (``<repository>/tests/kube/paths.py``).
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Paths:
    """The two folders everything else is derived from."""

    cache: Path
    """Binaries, base images, image archives: keyed by version or content, safe to delete."""
    state: Path
    """The running cluster: certificates, data, logs, pid files."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Paths:
        """Read ``SLUICE_CACHE`` and ``SLUICE_STATE``, with the documented defaults."""
        cache = environment.get("SLUICE_CACHE") or "~/.cache/sluice"
        # The bare cluster needs root anyway; kind's few files fit into the user's own folder.
        default = "/var/lib/sluice-kube" if os.geteuid() == 0 else "~/.local/state/sluice-kube"
        state = environment.get("SLUICE_STATE") or default
        return cls(Path(cache).expanduser().absolute(), Path(state).expanduser().absolute())

    @property
    def binaries(self) -> Path:
        """One folder per recipe and version below this one."""
        return self.cache / "bin"

    @property
    def images(self) -> Path:
        """Base images and archives."""
        return self.cache / "images"

    @property
    def images_json(self) -> Path:
        """The record of the tags built last, see ``image_store``."""
        return self.cache / "images.json"

    @property
    def pki(self) -> Path:
        """Certificates and keys of the cluster."""
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        """One log file per process."""
        return self.state / "logs"

    @property
    def pids(self) -> Path:
        """One pid file per process, see ``processes``."""
        return self.state / "pids"

    @property
    def config(self) -> Path:
        """Generated configuration of the components."""
        return self.state / "config"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, as seen from the host."""
        return self.state / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log (JSON lines, level Metadata)."""
        return self.state / "audit" / "audit.log"

    @property
    def volumes(self) -> Path:
        """The directories behind PersistentVolumes of the default StorageClass."""
        return self.state / "volumes"

    def node(self, name: str) -> Path:
        """What belongs to one node: containerd's root, kubelet's root."""
        return self.state / "nodes" / name
