"""Where people reach the node ports of a kind cluster, on each system that Docker runs on."""

from __future__ import annotations

__all__ = ["LOCAL", "public_host"]

LOCAL = "127.0.0.1"


def public_host(system: str, release: str, docker: str, node_address: str) -> str:
    """Return the address that an encoder on this machine dials.

    The node's own address where Docker's containers are processes of this very system. Elsewhere
    they are in a virtual machine, and kind forwards the node ports from this machine. Under WSL2
    Windows forwards them on from its own 127.0.0.1, where OBS runs. Pods can dial neither of both,
    so that what runs in the cluster uses the gateway's Service.

    Args:
        system: ``platform.system()``.
        release: ``platform.release()``.
        docker: the operating system that ``docker info`` names.
        node_address: the address of the node's container.
    """
    in_a_machine = "Docker Desktop" in docker or "microsoft" in release.lower()
    return LOCAL if system != "Linux" or in_a_machine or not node_address else node_address
