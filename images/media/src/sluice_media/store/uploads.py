"""The cleanup of abandoned multipart uploads, and of unfinished files on a claim.

A process that dies while it writes an MP4 leaves parts that no listing of objects shows, but that
cost money. Uploads of an MP4 that is about to be made again are aborted, and all uploads below the
prefix that are older than a day. With a workload identity there are no keys to sign requests with:
then the bucket needs a lifecycle rule (AbortIncompleteMultipartUpload), which is advisable anyway.
"""

from __future__ import annotations

import asyncio
import html
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import aiohttp
import structlog
from yarl import URL

from sluice_media.contract import S3_CA_FILE, BucketLocation, StorageReason
from sluice_media.net.trust import InvalidAuthorityError, client_context
from sluice_media.storage.bucket import KeyReader, bucket_url, credentials
from sluice_media.storage.errors import StorageError
from sluice_media.storage.sigv4 import encoded_query, signed_headers

STALE_SECONDS = 86_400.0
_CLEAN_SECONDS = 3_600.0
_TIMEOUT = aiohttp.ClientTimeout(total=60)
_MAX_BODY_BYTES = 4 << 20
_MAX_PAGES = 100
_STAGED = re.compile(r".+#\d+")
"""Names that obstore gives to unfinished files; it renames them when they are complete."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class Upload:
    """One unfinished multipart upload."""

    key: str
    upload_id: str
    initiated: datetime | None


def parse_uploads(text: str) -> tuple[list[Upload], tuple[str, str] | None]:
    """Parse a response of ListMultipartUploads: the uploads, and the markers of the next page or
    None. Ignore uploads without key or id."""
    found = []
    for body in re.findall(r"<Upload>(.*?)</Upload>", text, re.DOTALL):
        key, upload_id = _text(body, "Key"), _text(body, "UploadId")
        if key and upload_id:
            found.append(Upload(key, upload_id, _moment(_text(body, "Initiated"))))
    if _text(text, "IsTruncated") != "true":
        return found, None
    return found, (_text(text, "NextKeyMarker"), _text(text, "NextUploadIdMarker"))


def _text(body: str, name: str) -> str:
    match = re.search(rf"<{name}>([^<]*)</{name}>", body)
    return html.unescape(match[1]) if match else ""


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class UploadCleaner:
    """The cleanup of one store: a bucket, or a claim at ``store_dir`` when ``s3`` is None."""

    def __init__(self, s3: BucketLocation | None, store_dir: Path, key: KeyReader) -> None:
        self._s3 = s3
        self._store_dir = store_dir
        self._key = key

    async def run(self) -> None:
        """Abort old uploads once an hour until cancelled."""
        while True:
            await self.abort("", older_than_seconds=STALE_SECONDS)
            await asyncio.sleep(_CLEAN_SECONDS)

    async def abort(self, prefix: str, *, older_than_seconds: float = 0.0) -> int:
        """Abort uploads of the object ``prefix`` and of all below it, and return their number.

        A store that refuses is only logged: this costs space, but no recording."""
        try:
            if self._s3 is None:
                return await asyncio.to_thread(self._remove_staged, prefix, older_than_seconds)
            if not self._s3.has_credentials:
                return 0
            return await self._abort_all(self._s3, prefix, older_than_seconds)
        except (StorageError, OSError) as error:
            message = str(error) if isinstance(error, StorageError) else error.strerror
            _log.warning("uploads_not_cleaned", error=message)
            return 0

    async def _abort_all(self, s3: BucketLocation, prefix: str, older_than_seconds: float) -> int:
        before = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        whole = "/".join(part for part in (s3.prefix, prefix) if part)
        count = 0
        async with self._session(s3) as session:
            async for upload in self._list(s3, session, whole):
                within = not whole or upload.key == whole or upload.key.startswith(f"{whole}/")
                old = not older_than_seconds or (upload.initiated and upload.initiated <= before)
                if within and old:
                    await self._request(
                        s3, session, "DELETE", upload.key, {"uploadId": upload.upload_id}
                    )
                    count += 1
        if count:
            _log.info("uploads_aborted", count=count)
        return count

    async def _list(
        self, s3: BucketLocation, session: aiohttp.ClientSession, prefix: str
    ) -> AsyncIterator[Upload]:
        query = {"uploads": "", "prefix": prefix}
        for _ in range(_MAX_PAGES):
            uploads, markers = parse_uploads(await self._request(s3, session, "GET", "", query))
            for upload in uploads:
                yield upload
            if markers is None:
                return
            query = {**query, "key-marker": markers[0], "upload-id-marker": markers[1]}

    async def _request(
        self,
        s3: BucketLocation,
        session: aiohttp.ClientSession,
        method: str,
        key: str,
        query: dict[str, str],
    ) -> str:
        url = bucket_url(s3) + (f"/{quote(key, safe='/-._~')}" if key else "")
        if not key and not s3.path_style:
            url += "/"
        keys = credentials(self._key)
        headers = signed_headers(
            method,
            url,
            query,
            access_key=keys["access_key_id"],
            secret_key=keys["secret_access_key"],
            session_token=keys.get("token"),
            region=s3.region,
            now=datetime.now(UTC),
        )
        del headers["host"]
        try:
            async with session.request(
                method, URL(f"{url}?{encoded_query(query)}", encoded=True), headers=headers
            ) as answer:
                body = await answer.content.read(_MAX_BODY_BYTES)
                status = answer.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise StorageError(StorageReason.UNREACHABLE, "the store cannot be reached") from None
        if status == 404 and method == "DELETE":
            return ""
        if status >= 300:
            denied = status in (401, 403)
            reason = StorageReason.ACCESS_DENIED if denied else StorageReason.STORE_FAILED
            raise StorageError(reason, f"the store refuses to list unfinished uploads: {status}")
        return body.decode("utf-8", "replace")

    @asynccontextmanager
    async def _session(self, s3: BucketLocation) -> AsyncIterator[aiohttp.ClientSession]:
        authority = self._key(S3_CA_FILE) if s3.has_ca else None
        try:
            context = client_context(authority.get_secret_value() if authority else None)
        except InvalidAuthorityError:
            message = "the certificate authority of the store is not a PEM certificate"
            raise StorageError(StorageReason.TLS, message) from None
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(timeout=_TIMEOUT, connector=connector) as session:
            yield session

    def _remove_staged(self, prefix: str, older_than_seconds: float) -> int:
        place = self._store_dir / prefix
        folder = place if place.is_dir() else place.parent
        before = time.time() - older_than_seconds
        count = 0
        for where, _, names in os.walk(folder):
            for name in names:
                path = Path(where) / name
                mine = folder == place or name.startswith(f"{place.name}#")
                if mine and _STAGED.fullmatch(name) and path.stat().st_mtime <= before:
                    path.unlink(missing_ok=True)
                    count += 1
        return count
