"""Which stream a publisher means, and its key.

``rtmp://HOST/<namespace>`` with the stream key ``<stream>?<token>`` is what our Secrets say.
Encoders cut URLs at other slashes as well, so ``<namespace>/<stream>`` with the key ``<token>`` and
the token as a third path segment are understood too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import SecretStr

from sluice_media.net.publish_names import fault_of_names, is_key

_LIKE_A_TOKEN = re.compile(r"[0-9a-f]{20,}")


class BadPath(ValueError):  # noqa: N818  says what it is
    """The publish path names no stream; the message is a sentence without any part of it."""


@dataclass(slots=True, frozen=True)
class PublishPath:
    namespace: str
    stream: str
    key: SecretStr

    @property
    def shown_stream(self) -> str:
        """For logs before the hub confirmed the name: a key pasted in the wrong place is not
        shown."""
        return "(looks like a key)" if _LIKE_A_TOKEN.fullmatch(self.stream) else self.stream


def parse_publish_path(app: str, stream_key: str) -> PublishPath:
    """Raises BadPath."""
    path, query, token = f"{app}/{stream_key}".partition("?")
    segments = [segment for segment in path.split("/") if segment]
    if not query and len(segments) == 3:
        token = segments.pop()
    if len(segments) != 2:
        raise BadPath("the URL must be rtmp://HOST/<namespace>, the stream key <stream>?<key>")
    namespace, stream = segments
    return publish_path(namespace, stream, token)


def publish_path(namespace: str, stream: str, token: str) -> PublishPath:
    """The path of a protocol that carries its words apart. Raises BadPath."""
    if fault := fault_of_names(namespace, stream):
        raise BadPath(fault)
    if not is_key(token):
        raise BadPath("the stream key must be <stream>?<key>")
    return PublishPath(namespace, stream, SecretStr(token))
