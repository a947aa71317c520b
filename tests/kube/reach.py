"""The address of the node ports of a kind cluster, for each system that Docker runs on."""

from __future__ import annotations

__all__ = ["LOCAL", "public_host"]

LOCAL = "127.0.0.1"


def public_host(system: str, release: str, docker: str, node_address: str) -> str:
    """Return the address that an encoder on this machine dials.

    It is the node's own address if Docker's containers run directly on this system. On other
    systems they run in a virtual machine, and kind forwards the node ports from this machine. Under
    WSL2, Windows forwards them from its own 127.0.0.1, where OBS runs. Pods cannot dial these two
    addresses, so publishers in the cluster use the gateway's Service.

    Args:
        system: ``platform.system()``.
        release: ``platform.release()``.
        docker: the operating system in the output of ``docker info``.
        node_address: the address of the node's container.
    """
    in_a_machine = "Docker Desktop" in docker or "microsoft" in release.lower()
    return LOCAL if system != "Linux" or in_a_machine or not node_address else node_address
