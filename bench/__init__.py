"""Measures the jobs against their peers: programs of one process that make the same results from the same data."""

CORES = 2
"""Of the jobs; DuckDB has as many threads."""
