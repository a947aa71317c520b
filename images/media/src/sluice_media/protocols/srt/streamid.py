"""Stream ids of publishers: a string in, namespace, stream and key out.

Two forms are valid: ``<namespace>/<stream>?<key>``, and the keyed one of the SRT Access Control
Guidelines, ``#!::r=<namespace>/<stream>?<key>,m=publish``. The guidelines' nested form (``#!{``) is
refused: we know no encoder that uses it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr

from sluice_media.net.publish_names import fault_of_names, is_key
from sluice_media.protocols.srt.errors import StreamIdError
from sluice_media.protocols.srt.reject import RejectCode

MAX_STREAM_ID_CHARS = 512
"""Limit of the protocol."""
_KEYED = "#!::"
_MAX_FIELDS = 16


@dataclass(slots=True, frozen=True)
class PublishRequest:
    """The stream that a publisher requests, and its key."""

    namespace: str
    stream: str
    key: SecretStr


def parse_stream_id(stream_id: str) -> PublishRequest:
    """Return the request. Raise StreamIdError, whose text never quotes the stream id."""
    if len(stream_id) > MAX_STREAM_ID_CHARS:
        raise _bad("the stream id is too long")
    resource = stream_id
    if stream_id.startswith("#!"):
        if not stream_id.startswith(_KEYED):
            raise _bad("a stream id that begins with #! must begin with #!::")
        resource = _resource(stream_id[len(_KEYED) :])
    path, _, key = resource.partition("?")
    names = path.strip("/").split("/")
    if len(names) != 2:
        raise _bad("the stream id must be <namespace>/<stream>?<key>")
    namespace, stream = names
    if fault := fault_of_names(namespace, stream):
        raise _bad(fault)
    if not is_key(key):
        raise _bad("the stream id must end in ?<key>")
    return PublishRequest(namespace, stream, SecretStr(key))


def _resource(fields: str) -> str:
    """Return the resource of a keyed stream id that publishes a stream.

    Unknown keys are ignored, as the guidelines require.
    """
    parts = fields.split(",")
    if len(parts) > _MAX_FIELDS:
        raise _bad(f"the stream id has more than {_MAX_FIELDS} fields")
    values: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or not name or name in values:
            raise _bad("the fields of the stream id must be name=value, each once")
        values[name] = value
    # The guidelines' default is "request". Nobody can watch here, so a missing mode may mean
    # "publish".
    if values.get("m", "publish") != "publish":
        raise StreamIdError(RejectCode.BAD_MODE, "the mode must be m=publish")
    if values.get("t", "stream") != "stream":
        raise StreamIdError(RejectCode.NOT_SUPPORTED_MEDIA, "the type must be t=stream")
    return values.get("r", "")


def _bad(message: str) -> StreamIdError:
    return StreamIdError(RejectCode.BAD_REQUEST, message)
