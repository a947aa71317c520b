"""A disk that fails on request: a block device of the kernel with a real ext4 on it.

It is a loop device over a sparse image, on a file system in memory that is too small for the image.
After `run_out`, new blocks cannot be stored, as on a thin volume: ext4 has free space and accepts a
write into memory, the later write to the disk fails once, and the bytes are lost. After `cut_off`,
all blocks beyond the first part give input/output errors.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CannotMountError", "SickDisk", "fill", "sick_disk", "small_disk"]

DISK_BYTES = 512 << 20
BACKING_BYTES = 64 << 20
HEALTHY_BYTES = 48 << 20
"""Size of the first part, which never fails: the tables of the file system."""
# linux/loop.h
_LOOP_SET_STATUS64, _LOOP_GET_STATUS64 = 0x4C04, 0x4C05
_PAGE_BYTES = 4096
_INFO_BYTES, _SIZE_LIMIT_AT = 232, 32


class CannotMountError(RuntimeError):
    """The disk cannot be mounted; the text is the cause."""


@dataclass(slots=True)
class SickDisk:
    folder: Path
    """Mount point."""
    device: str

    backing: Path
    ballast: Path | None = None

    def run_out(self) -> None:
        """Make all writes of new blocks fail from now on."""
        self.ballast = fill(self.backing)

    def cut_off(self) -> None:
        """Make writes to new files of the top folder fail from now on."""
        self._limit(HEALTHY_BYTES)

    def write_back(self) -> None:
        """Let the kernel write the data in its memory to the disk, if it can."""
        _run("sync", "--file-system", str(self.folder))

    def recover(self) -> None:
        if self.ballast is not None:
            self.ballast.unlink()
            self.ballast = None
        self._limit(0)

    def mount_again(self) -> None:
        """Mount again, so that all data is read from the disk and not from memory."""
        _run("umount", str(self.folder))
        _run("mount", "-o", "discard", self.device, str(self.folder))

    def _limit(self, size_bytes: int) -> None:
        number = os.open(self.device, os.O_RDWR)
        try:
            info = bytearray(fcntl.ioctl(number, _LOOP_GET_STATUS64, bytes(_INFO_BYTES)))
            info[_SIZE_LIMIT_AT : _SIZE_LIMIT_AT + 8] = size_bytes.to_bytes(8, "little")
            fcntl.ioctl(number, _LOOP_SET_STATUS64, bytes(info))
        finally:
            os.close(number)


def fill(folder: Path) -> Path:
    """Return a file that takes all free space. A second call takes the space that was freed in
    between."""
    ballast = folder / "ballast"
    piece = os.statvfs(folder).f_bfree * os.statvfs(folder).f_frsize
    with ballast.open("ab") as file:
        at = file.tell()
        while piece >= _PAGE_BYTES:
            try:
                os.posix_fallocate(file.fileno(), at, piece)
                at += piece
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                piece //= 2
    return ballast


@contextlib.contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """Yield a file system of ``size_bytes`` in memory, mounted at ``folder``. Raises
    CannotMountError."""
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _run("umount", "--lazy", str(folder))


@contextlib.contextmanager
def sick_disk(folder: Path) -> Iterator[SickDisk]:
    """Yield an ext4 without faults, mounted at ``folder``. Raises CannotMountError."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        backing = stack.enter_context(
            small_disk(folder.with_name(f"{folder.name}.backing"), BACKING_BYTES)
        )
        image = backing / "image"
        with image.open("wb") as file:
            file.truncate(DISK_BYTES)
        # Without a journal, because ext4 with one becomes read-only at the first error.
        options = ("-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=0")
        _run("mkfs.ext4", "-q", *options, str(image))
        device = _run("losetup", "--find", "--show", str(image)).strip()
        stack.callback(_run, "losetup", "--detach", device)
        _run("mount", "-o", "discard", device, str(folder))
        stack.callback(_run, "umount", "--lazy", str(folder))
        with (folder / "tables").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, HEALTHY_BYTES)
        disk = SickDisk(folder, device, backing)
        disk.write_back()
        stack.callback(disk.recover)
        yield disk


def _run(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    except OSError as error:
        raise CannotMountError(f"{argv[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        raise CannotMountError(f"{argv[0]} failed: {done.stderr.strip()}")
    return done.stdout
