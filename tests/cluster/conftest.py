"""A real cluster with Sluice installed, as `make install` leaves it, and a namespace a test."""

from __future__ import annotations

from tests.support.chart_release import release
from tests.support.cluster_fixtures import breakable_system, clip, cluster, kube, sluice

__all__ = ["breakable_system", "clip", "cluster", "kube", "release", "sluice"]
