"""The metrics of a media pod, read through the API server."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.support.api_server import RefusalError
from tests.support.kubectl import Kubectl

__all__ = ["pod_metric"]

PORT = 9100


def pod_metric(kube: Kubectl, labels: str, name: str) -> float:
    """Return the sum of a metric over the pods with these labels; 0 while no pod answers."""
    samples = (
        sample.value
        for pod in kube.list("pods", "-l", labels)
        for family in text_string_to_metric_families(_scraped(kube, pod["metadata"]["name"]))
        for sample in family.samples
        if sample.name == name
    )
    return sum(samples)


def _scraped(kube: Kubectl, pod: str) -> str:
    pods = kube.api.resource("pods").path(kube.namespace)
    try:
        return kube.api.text(f"{pods}/{pod}:{PORT}/proxy/metrics")
    except RefusalError:
        return ""
