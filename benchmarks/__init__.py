"""Measurements: each module is one command (`python -m benchmarks.NAME --help`), each table lands in RESULTS.md."""
