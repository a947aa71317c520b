"""The vocabularies of the wire: what is written is a listed word, what is read may be a newer
one."""

from __future__ import annotations

import re
from enum import StrEnum

from sluice_media.contract import FileState, LegReason, RecordedFile, ResultState, StoredResult
from sluice_media.contract import reasons as contract_reasons
from sluice_media.formats.errors import MediaError, UnsupportedCodec


def test_the_reasons_of_the_formats_are_those_of_a_leg() -> None:
    assert MediaError.reason == LegReason.BAD_MEDIA
    assert UnsupportedCodec.reason == LegReason.UNSUPPORTED_CODEC


def test_a_status_has_room_for_every_word() -> None:
    enums = [found for found in vars(contract_reasons).values() if isinstance(found, type)]
    words = [word for enum in enums if issubclass(enum, StrEnum) for word in enum]
    assert [word for word in words if not re.fullmatch("[A-Za-z]{1,32}", word)] == []


def test_an_enumeration_is_its_word_on_the_wire() -> None:
    result = StoredResult(uid="u", state=ResultState.DONE)
    assert '"state":"Done"' in result.to_json()
    assert StoredResult.model_validate_json(result.to_json()).state == ResultState.DONE


def test_a_word_of_a_newer_version_is_read() -> None:
    body = '{"index": 1, "name": "f", "state": "Archived", "startedAt": "2026-01-01T00:00:00Z"}'
    file = RecordedFile.model_validate_json(body)
    assert file.state == "Archived"
    assert file.state not in list(FileState)
