"""TLS toward a source: verified by name, for playlists, segments and relayed protocols alike."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from tests.support.pull_rig import PullRig, RtspSource, make_source_clip, settings
from tests.support.pull_web import WebSource

NAME = "camera.example"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("clip")
    return make_source_clip(folder / "clip.ts", seconds=20).read_bytes()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of NAME in one file."""
    path = tmp_path_factory.mktemp("tls") / "pair.pem"
    path.write_bytes(b"".join(make_pair()))
    return path


def other_authority() -> SecretStr:
    """For the same name, but another one."""
    return SecretStr(make_pair()[1].decode())


def make_pair() -> tuple[bytes, bytes]:
    """Key and certificate of NAME, which signs itself, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    unsealed = serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, unsealed)
    return private, made.public_bytes(pem)


@asynccontextmanager
async def behind_tls(pair: Path, inner_port: int) -> AsyncIterator[int]:
    """Takes TLS off in front of a plain source; yields the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, to_inner = await asyncio.open_connection("127.0.0.1", inner_port)
        await asyncio.gather(pump(reader, to_inner), pump(inner, writer))

    server = await asyncio.start_server(join, "127.0.0.1", 0, ssl=context)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def here(_: str) -> Sequence[str]:
    return ["127.0.0.1"]


def trusting(pair: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(pair))


async def test_rtsps_with_a_valid_certificate_is_on_air(clip: bytes, certificate: Path) -> None:
    async with (
        RtspSource(clip).serving() as plain,
        behind_tls(certificate, plain.port) as port,
    ):
        rig = PullRig()
        rig.tls = trusting(certificate)
        async with rig.pulling(settings(f"rtsps://{NAME}:{port}/x"), here):
            await rig.until(rig.on_air(0))


async def test_https_with_a_valid_certificate_is_on_air(clip: bytes, certificate: Path) -> None:
    web = WebSource()
    web.media["/x.ts"] = clip
    web.media["/x.m3u8"] = b"#EXTM3U\n#EXT-X-TARGETDURATION:20\n#EXTINF:20,\nx.ts\n#EXT-X-ENDLIST\n"
    async with web.serving(), behind_tls(certificate, web.port) as port:
        rig = PullRig()
        rig.tls = trusting(certificate)
        async with rig.pulling(settings(f"https://{NAME}:{port}/x.m3u8"), here):
            await rig.until(rig.on_air(0))


def authority_of(pair: Path) -> SecretStr:
    """Its certificate without the key, behind a comment as bundles have them."""
    certificate = pair.read_text().partition("-----END PRIVATE KEY-----")[2]
    return SecretStr(f"# Kameras für die Bühne\n{certificate}")


async def test_a_source_of_an_authority_that_the_user_names_is_on_air(
    clip: bytes, certificate: Path
) -> None:
    web = WebSource()
    web.media["/x.ts"] = clip
    web.media["/x.m3u8"] = b"#EXTM3U\n#EXT-X-TARGETDURATION:20\n#EXTINF:20,\nx.ts\n#EXT-X-ENDLIST\n"
    async with (
        web.serving(),
        RtspSource(clip).serving() as camera,
        behind_tls(certificate, web.port) as https,
        behind_tls(certificate, camera.port) as rtsps,
    ):
        for uri in (f"https://{NAME}:{https}/x.m3u8", f"rtsps://{NAME}:{rtsps}/x"):
            rig = PullRig()
            own = settings(uri, authorities={0: authority_of(certificate)})
            async with rig.pulling(own, here):
                await rig.until(rig.on_air(0))


async def test_an_authority_counts_for_the_source_that_names_it_alone(certificate: Path) -> None:
    async with (
        RtspSource(b"").serving() as plain,
        behind_tls(certificate, plain.port) as port,
    ):
        rig = PullRig()
        uris = (f"rtsps://{NAME}:{port}/a", "rtmp://127.0.0.1:1/app/key")
        async with rig.pulling(settings(*uris, authorities={1: authority_of(certificate)}), here):
            await rig.until(rig.reports("Uri 0", "certificate", "not valid"))
            await rig.until(rig.reports("Uri 1", "rtmps://, https:// and rtsps:// alone"))
        assert plain.requests == []


async def test_a_named_authority_replaces_the_public_ones(certificate: Path) -> None:
    async with (
        RtspSource(b"").serving() as plain,
        behind_tls(certificate, plain.port) as port,
    ):
        rig = PullRig()
        rig.tls = trusting(certificate)  # as if it were a public one
        uri = f"rtsps://{NAME}:{port}/x"
        for authority, words in (
            (other_authority(), ("certificate", "not valid")),
            (None, ("no such key",)),
            (SecretStr("no certificate"), ("PEM form",)),
        ):
            async with rig.pulling(settings(uri, authorities={0: authority}), here):
                await rig.until(rig.reports(*words))
        assert plain.requests == []


@pytest.mark.parametrize("scheme", ["https", "rtsps", "rtmps"])
@pytest.mark.parametrize("trusted", [True, False])
async def test_a_certificate_of_another_name_or_issuer_is_refused(
    scheme: str, trusted: bool, certificate: Path
) -> None:
    async with (
        RtspSource(b"").serving() as plain,
        behind_tls(certificate, plain.port) as port,
    ):
        rig = PullRig()
        if trusted:
            rig.tls = trusting(certificate)
        name = "other.example" if trusted else NAME
        async with rig.pulling(settings(f"{scheme}://{name}:{port}/app/key"), here):
            await rig.until(rig.reports("certificate", "not valid"))
        assert plain.requests == []
