"""The folders of the tool: a cache that may always be deleted, and the cluster's state.

The variables ``SLUICE_CACHE`` and ``SLUICE_STATE`` set their paths. Neither folder is ever inside
the checkout.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["REPOSITORY", "Paths"]

#: The checkout that contains this package (``<repository>/tests/kube/paths.py``).
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Paths:
    """The two folders, and the paths in them."""

    cache: Path
    """Folder of binaries, base images and image archives, by version or content. It is safe to
    delete."""
    state: Path
    """Folder of the running cluster: certificates, data, logs, pid files."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Paths:
        """Read ``SLUICE_CACHE`` and ``SLUICE_STATE``, with the documented defaults."""
        cache = environment.get("SLUICE_CACHE") or "~/.cache/sluice"
        # The bare cluster needs root. The few files of kind are in the user's own folder.
        default = "/var/lib/sluice-kube" if os.geteuid() == 0 else "~/.local/state/sluice-kube"
        state = environment.get("SLUICE_STATE") or default
        return cls(Path(cache).expanduser().absolute(), Path(state).expanduser().absolute())

    @property
    def binaries(self) -> Path:
        """Folder with one folder per recipe and version."""
        return self.cache / "bin"

    @property
    def images(self) -> Path:
        """Folder of base images and archives."""
        return self.cache / "images"

    @property
    def images_json(self) -> Path:
        """File with the tags built last, see ``image_store``."""
        return self.cache / "images.json"

    @property
    def pki(self) -> Path:
        """Folder of the cluster's certificates and keys."""
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        """Folder with one log file per process."""
        return self.state / "logs"

    @property
    def pids(self) -> Path:
        """Folder with one pid file per process, see ``processes``."""
        return self.state / "pids"

    @property
    def config(self) -> Path:
        """Folder of the generated configuration of the components."""
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
        """Return the folder of one node, with the roots of containerd and kubelet."""
        return self.state / "nodes" / name
