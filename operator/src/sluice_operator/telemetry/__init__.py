"""Metrics and probes of the operator."""
