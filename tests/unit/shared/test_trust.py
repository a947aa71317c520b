"""Whose certificates a client of ours believes."""

from __future__ import annotations

import base64
import ssl
from datetime import UTC, datetime

import pytest

from sluice_media.net.trust import InvalidAuthorityError, client_context
from tests.demo.certificate import tls_secret


@pytest.fixture(scope="module")
def authority() -> str:
    secret = tls_secret("camera", "camera.example.org", datetime.now(UTC))
    return base64.b64decode(secret["data"]["tls.crt"]).decode()


@pytest.mark.parametrize("pem", ["", "no certificate", "Amtsgericht Köln", "日本"])
def test_what_holds_no_certificate_is_said(pem: str) -> None:
    with pytest.raises(InvalidAuthorityError, match="PEM"):
        client_context(pem)


def test_a_bundle_may_name_its_authorities_in_any_script(authority: str) -> None:
    context = client_context(f"# Behörde für Kameras, 認証局\n{authority}")
    assert context.cert_store_stats()["x509"] == 1


def test_an_authority_of_ones_own_counts_instead_of_the_public_ones(authority: str) -> None:
    public, own = client_context(None), client_context(authority)
    assert own.cert_store_stats()["x509"] == 1
    for context in (public, own):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
