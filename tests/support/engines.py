"""A query engine for examples that only ask it for expressions."""

from __future__ import annotations

from functools import cache

import duckdb


@cache
def engine() -> duckdb.DuckDBPyConnection:
    """One for all examples: starting it takes longer than any of them."""
    return duckdb.connect()
