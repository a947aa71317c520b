"""Benchmarks: they print their figures and fail beyond the limits that Sluice promises."""
