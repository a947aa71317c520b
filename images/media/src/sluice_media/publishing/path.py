"""The stream and the key in a publish path.

Our Secrets name ``rtmp://HOST/<namespace>`` with the stream key ``<stream>?<token>``. Encoders cut
URLs at other slashes as well. So ``<namespace>/<stream>`` with the key ``<token>``, and the token
as a third path segment, are accepted too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import SecretStr

from sluice_media.net.publish_names import fault_of_names, is_key

_LIKE_A_TOKEN = re.compile(r"[0-9a-f]{20,}")


class BadPath(ValueError):  # noqa: N818  says what it is
    """The publish path does not name a stream. The message holds no part of the path."""


@dataclass(slots=True, frozen=True)
class PublishPath:
    namespace: str
    stream: str
    key: SecretStr

    @property
    def shown_stream(self) -> str:
        """The stream's name for logs before the hub has confirmed it. A key that was pasted in its
        place is not shown."""
        return "(looks like a key)" if _LIKE_A_TOKEN.fullmatch(self.stream) else self.stream


def parse_publish_path(app: str, stream_key: str) -> PublishPath:
    """Parse the publish path from RTMP's app and stream key. Raises BadPath."""
    path, query, token = f"{app}/{stream_key}".partition("?")
    segments = [segment for segment in path.split("/") if segment]
    if not query and len(segments) == 3:
        token = segments.pop()
    if len(segments) != 2:
        raise BadPath("the URL must be rtmp://HOST/<namespace>, and the stream key <stream>?<key>")
    namespace, stream = segments
    return publish_path(namespace, stream, token)


def publish_path(namespace: str, stream: str, token: str) -> PublishPath:
    """Return the path of a protocol that carries its parts separately. Raises BadPath."""
    if fault := fault_of_names(namespace, stream):
        raise BadPath(fault)
    if not is_key(token):
        raise BadPath("the stream key must be <stream>?<key>")
    return PublishPath(namespace, stream, SecretStr(token))
