"""Measurements: ``make bench`` writes most of them into ``docs/benchmarks.md``."""
