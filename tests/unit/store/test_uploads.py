"""Signatures as Amazon's own examples have them, and lists of unfinished uploads."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from sluice_media.storage.sigv4 import encoded_query, signed_headers
from sluice_media.store.uploads import Upload, UploadCleaner, parse_uploads


def test_the_signature_is_the_one_of_amazons_example() -> None:
    # Amazon S3 API Reference, "Examples: Signature Calculations", GET Bucket (List Objects).
    headers = signed_headers(
        "GET",
        "https://examplebucket.s3.amazonaws.com/",
        {"max-keys": "2", "prefix": "J"},
        access_key="AKIAIOSFODNN7EXAMPLE",
        secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        session_token=None,
        region="us-east-1",
        now=datetime(2013, 5, 24, tzinfo=UTC),
    )
    assert headers["Authorization"].endswith(
        "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    )


def test_a_query_is_sorted_and_everything_unusual_in_it_encoded() -> None:
    assert encoded_query({"uploads": "", "prefix": "a/b c+~"}) == "prefix=a%2Fb%20c%2B~&uploads="


def test_a_page_of_uploads() -> None:
    text = """<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>
        <NextKeyMarker>k&amp;2</NextKeyMarker><NextUploadIdMarker>u2</NextUploadIdMarker>
        <Upload><Key>k&amp;1</Key><UploadId>u1</UploadId>
        <Initiated>2026-05-01T12:00:00.000Z</Initiated><Owner><ID>x</ID></Owner></Upload>
        <Upload><Key>no id</Key></Upload></ListMultipartUploadsResult>"""
    found, markers = parse_uploads(text)
    assert found == [Upload("k&1", "u1", datetime(2026, 5, 1, 12, tzinfo=UTC))]
    assert markers == ("k&2", "u2")
    assert parse_uploads("<html>garbage") == ([], None)


async def test_files_that_were_never_completed_go_from_a_claim(tmp_path: Path) -> None:
    folder = tmp_path / "recordings/uid"
    folder.mkdir(parents=True)
    for name in ("001.mp4#1", "001.mp4", "002.mp4#3", "#5"):
        (folder / name).write_bytes(b"x")
    os.utime(folder / "002.mp4#3", (0, 0))
    cleaner = UploadCleaner(None, tmp_path, lambda name: None)
    assert await cleaner.abort("", older_than_seconds=3600) == 1
    assert await cleaner.abort("recordings/uid/001.mp4") == 1
    assert sorted(f.name for f in folder.iterdir()) == ["#5", "001.mp4"]
