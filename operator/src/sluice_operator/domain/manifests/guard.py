"""The addresses that a pod may dial for a user: the same rules for sources and targets."""

from __future__ import annotations

from sluice_media.contract import AddressGuard
from sluice_operator.domain.observed import DomainSettings


def address_guard(settings: DomainSettings) -> AddressGuard:
    return AddressGuard(
        denied=list(settings.denied_ranges),
        allowed=list(settings.allowed_ranges),
        cluster_domain=settings.cluster_domain,
        allowed_names=list(settings.allowed_names),
    )
