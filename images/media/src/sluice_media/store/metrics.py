"""The store's Prometheus metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600)


class StoreMetrics:
    """The metrics of one store pod."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.used_bytes = Gauge(
            "sluice_store_used_bytes", "Bytes of all recordings.", registry=registry
        )
        self.available_bytes = Gauge(
            "sluice_store_available_bytes",
            "Free space of the volume; 0 for a bucket.",
            registry=registry,
        )
        self.writable = Gauge(
            "sluice_store_writable", "1 while a probe can be written and read.", registry=registry
        )
        self.limit_bytes = Gauge(
            "sluice_store_limit_bytes",
            "The limit, or the size of the volume, whichever comes first; 0: none.",
            registry=registry,
        )
        self.headroom_bytes = Gauge(
            "sluice_store_headroom_bytes",
            "Free bytes up to the limit; NaN: no limit is known.",
            registry=registry,
        )
        self.pending = Gauge("sluice_store_pending", "Recordings in the queue.", registry=registry)
        self.retries = Gauge(
            "sluice_store_retries", "Recordings that wait for another try.", registry=registry
        )
        self.deleted = Counter(
            "sluice_store_deleted", "Recordings deleted as a whole.", registry=registry
        )
        self.finalize_seconds = Histogram(
            "sluice_store_finalize_seconds",
            "Time from the chunks to the MP4 in its place.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.finalized_bytes = Counter(
            "sluice_store_finalized_bytes", "Bytes of the MP4s made.", registry=registry
        )
        self.lost_chunks = Counter(
            "sluice_store_lost_chunks",
            "Chunks of finished files that were missing or damaged.",
            registry=registry,
        )
        self.kept_chunks = Counter(
            "sluice_store_kept_chunks",
            "Chunks of finished recordings that are in no MP4 and are kept for some time.",
            registry=registry,
        )
        self.finalize_failures = Counter(
            "sluice_store_finalize_failures", "MP4s that could not be made.", registry=registry
        )
