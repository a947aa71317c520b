"""The idle class of the disk's scheduler for a process: what ``ionice -c 3`` does.

Source: ioprio_set(2). The C library has no function for it, and its number differs by machine.
"""

from __future__ import annotations

import ctypes
import platform

_NUMBERS = {"x86_64": 251, "aarch64": 30}
_WHO_PROCESS = 1
_CLASS_IDLE = 3 << 13


def lower_io_priority(pid: int) -> bool:
    """Whether that could be done; threads that the process starts later inherit it."""
    number = _NUMBERS.get(platform.machine())
    if number is None:
        return False
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    return int(syscall(number, _WHO_PROCESS, pid, _CLASS_IDLE)) == 0
