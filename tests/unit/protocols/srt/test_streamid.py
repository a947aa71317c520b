"""Stream ids: both forms, the code of each refusal, and no text that shows the key."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.protocols.srt.errors import StreamIdError
from sluice_media.protocols.srt.reject import RejectCode
from sluice_media.protocols.srt.streamid import PublishRequest, parse_stream_id

KEY = "5f0c2c6a9d0e4b1f8a7b6c5d4e3f2a1b"


@pytest.mark.parametrize(
    "stream_id",
    [
        f"demo/talk?{KEY}",
        f"/demo/talk?{KEY}",
        f"#!::r=demo/talk?{KEY},m=publish",
        f"#!::m=publish,r=demo/talk?{KEY}",
        f"#!::r=/demo/talk?{KEY}",
        f"#!::h=srt.example.com,r=demo/talk?{KEY},t=stream,m=publish,u=somebody,x-model=7",
    ],
)
def test_both_forms_are_read_alike(stream_id: str) -> None:
    found = parse_stream_id(stream_id)
    assert (found.namespace, found.stream) == ("demo", "talk")
    assert found.key.get_secret_value() == KEY


@pytest.mark.parametrize(
    ("stream_id", "code"),
    [
        ("", RejectCode.BAD_REQUEST),
        ("demo/talk", RejectCode.BAD_REQUEST),
        ("demo/talk?", RejectCode.BAD_REQUEST),
        (f"talk?{KEY}", RejectCode.BAD_REQUEST),
        (f"a/demo/talk?{KEY}", RejectCode.BAD_REQUEST),
        (f"demo//talk?{KEY}", RejectCode.BAD_REQUEST),
        (f"demo/../talk?{KEY}", RejectCode.BAD_REQUEST),
        (f"Demo/talk?{KEY}", RejectCode.BAD_REQUEST),
        (f"demo/{'t' * 41}?{KEY}", RejectCode.BAD_REQUEST),
        (f"demo/talk?{'k' * 257}", RejectCode.BAD_REQUEST),
        (f"demo/talk?{KEY}\n", RejectCode.BAD_REQUEST),
        (f"demo/talk?{'k' * 600}", RejectCode.BAD_REQUEST),
        ("#!{r=demo/talk}", RejectCode.BAD_REQUEST),
        ("#!::", RejectCode.BAD_REQUEST),
        ("#!::m=publish", RejectCode.BAD_REQUEST),
        (f"#!::r=demo/talk?{KEY},r=demo/other?{KEY}", RejectCode.BAD_REQUEST),
        (
            f"#!::r=demo/talk?{KEY}," + ",".join(f"a{n}=1" for n in range(20)),
            RejectCode.BAD_REQUEST,
        ),
        (f"#!::r=demo/talk?{KEY},m=request", RejectCode.BAD_MODE),
        (f"#!::r=demo/talk?{KEY},m=bidirectional", RejectCode.BAD_MODE),
        (f"#!::r=demo/talk?{KEY},m=publish,t=file", RejectCode.NOT_SUPPORTED_MEDIA),
    ],
)
def test_other_stream_ids_are_refused_with_their_code(stream_id: str, code: RejectCode) -> None:
    with pytest.raises(StreamIdError) as refused:
        parse_stream_id(stream_id)
    assert refused.value.code == code
    assert KEY not in str(refused.value)


def test_a_request_does_not_show_its_key() -> None:
    assert KEY not in repr(parse_stream_id(f"demo/talk?{KEY}"))


@given(st.text(max_size=600) | st.text(alphabet="#!:rm=,/?ab", max_size=60).map("#!::".__add__))
def test_any_text_is_a_request_or_a_refusal(text: str) -> None:
    with contextlib.suppress(StreamIdError):
        assert isinstance(parse_stream_id(text), PublishRequest)
