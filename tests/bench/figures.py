"""A measured figure and the limit that it is held against."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Figure"]


@dataclass(slots=True, frozen=True)
class Figure:
    name: str
    unit: str
    samples: tuple[float, ...]
    limit_p95: float | None = None

    def percentile(self, share: float) -> float:
        """Nearest-rank percentile."""
        ordered = sorted(self.samples)
        rank = max(1, -(-len(ordered) * int(share * 100) // 100))
        return ordered[min(rank, len(ordered)) - 1]

    @property
    def beyond(self) -> bool:
        return self.limit_p95 is not None and self.percentile(0.95) > self.limit_p95

    def __str__(self) -> str:
        text = (
            f"{self.name}: n={len(self.samples)}  p50 {self.percentile(0.5):.2f} {self.unit}  "
            f"p95 {self.percentile(0.95):.2f} {self.unit}  max {max(self.samples):.2f} {self.unit}"
        )
        if self.limit_p95 is not None:
            verdict = "BEYOND" if self.beyond else "within"
            text += f"  ({verdict} the limit of p95 {self.limit_p95} {self.unit})"
        return text
