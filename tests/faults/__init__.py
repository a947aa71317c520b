"""Faults on a real cluster, longer than `make test` has time for: ``make faults``."""
