"""The ETag that S3 returns for an unencrypted object (pure).

The ETag of an object that was put as a whole is the MD5 of its bytes. That of a multipart object is
the MD5 of its parts' MD5s, a dash and the number of parts. Source: Amazon S3 User Guide, "Checking
object integrity".
"""

from __future__ import annotations

import hashlib


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class MultipartDigest:
    """The ETag of a multipart upload with parts of one size, computed while it is sent."""

    def __init__(self, part_bytes: int) -> None:
        self._part_bytes = part_bytes
        self._parts: list[bytes] = []
        self._part = hashlib.md5(usedforsecurity=False)
        self._room = part_bytes
        self.size_bytes = 0

    def update(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        self.size_bytes += len(rest)
        while rest:
            piece, rest = rest[: self._room], rest[self._room :]
            self._part.update(piece)
            self._room -= len(piece)
            if not self._room:
                self._parts.append(self._part.digest())
                self._part = hashlib.md5(usedforsecurity=False)
                self._room = self._part_bytes

    def etag(self) -> str:
        """Return the ETag of all bytes so far."""
        parts = list(self._parts)
        if self._room < self._part_bytes or not parts:
            parts.append(self._part.digest())
        return f"{md5(b''.join(parts))}-{len(parts)}"
