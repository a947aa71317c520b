"""The Debian packages that the tests and the bare cluster need. The tool installs them on Debian as
root, and lists them otherwise. The demo on Docker needs none of them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.kube.console import step
from tests.kube.errors import KubeToolError

__all__ = ["BARE", "TESTS", "ensure", "missing", "needed"]

_GSTREAMER = f"/usr/lib/{platform.machine()}-linux-gnu/gstreamer-1.0"

#: Package → proof of its installation: a program on the PATH, or a file.
#: Tests use these packages on the host, with every provider.
TESTS = {
    "chromium": "chromium",
    "ffmpeg": "ffmpeg",
    "gstreamer1.0-plugins-bad": f"{_GSTREAMER}/libgstrtmp2.so",
    "gstreamer1.0-plugins-good": f"{_GSTREAMER}/libgstflv.so",
    "gstreamer1.0-tools": "gst-launch-1.0",
    "libnginx-mod-http-lua": "/usr/lib/nginx/modules/ngx_http_lua_module.so",
    "nginx": "nginx",
    "nodejs": "node",
    "npm": "npm",
    "srt-tools": "srt-live-transmit",
    "libnginx-mod-rtmp": "/usr/lib/nginx/modules/ngx_rtmp_module.so",
}
#: Debian's Python does not contain the modules that `python3 -m venv` needs.
VENV = "python3-venv"
#: Needed for the cluster and the images on a machine without Docker.
BARE = {
    "buildah": "buildah",
    "busybox-static": "/bin/busybox",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "ethtool": "ethtool",
    "gcc": "gcc",
    "iproute2": "ip",
    "iptables": "iptables",
    "kmod": "modprobe",
    "libc6-dev": "/usr/include/stdlib.h",
    "mmdebstrap": "mmdebstrap",
    "openssl": "openssl",
    "procps": "sysctl",
    "runc": "runc",
    "skopeo": "skopeo",
    "socat": "socat",
    "util-linux": "nsenter",
}


def needed(provider: str, *, tests: bool) -> dict[str, str]:
    """Return the packages for the demo, or for the tests, on a cluster of this provider."""
    return (BARE if provider == "bare" else {}) | (TESTS if tests else {})


def missing(packages: Mapping[str, str]) -> list[str]:
    """Return those of the packages whose program or file is not on this machine."""
    # Another user's PATH may lack the folders of system programs.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    return [
        package
        for package, proof in packages.items()
        if not (Path(proof).exists() if "/" in proof else shutil.which(proof, path=path))
    ]


def ensure(wanted: Mapping[str, str], *, check_only: bool = False) -> None:
    """Install the missing packages.

    Args:
        wanted: package → its program or file.
        check_only: raise for missing packages, and install none.

    Raises:
        KubeToolError: a package is missing and cannot be installed from here.
    """
    packages = missing(wanted)
    if find_spec("ensurepip") is None:
        packages.append(VENV)
    if not packages:
        return
    command = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if check_only:
        raise KubeToolError(f"missing: {', '.join(packages)}; on Debian, as root: {command}")
    if shutil.which("apt-get") is None:
        raise KubeToolError(
            f"missing: {', '.join(packages)} (Debian's names); install them with your system's tool"
        )
    if os.geteuid() != 0:
        raise KubeToolError(f"missing: {', '.join(packages)}; as root: {command}")
    with step(f"installing {', '.join(packages)}"), _no_services():
        if not _apt(["install", "--no-install-recommends", *packages]):
            # The package lists may be missing, or older than the archive.
            _apt(["update"])
            if not _apt(["install", "--no-install-recommends", *packages]):
                raise KubeToolError(f"apt-get could not install them; try by hand: {command}")


@contextmanager
def _no_services() -> Iterator[None]:
    """Prevent the start of installed services: invoke-rc.d runs this file (policy-rc.d(8))."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def _apt(arguments: list[str]) -> bool:
    result = subprocess.run(
        ["apt-get", "-qq", "-y", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    return result.returncode == 0
