"""An engine, and a reader of logs in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from segue.data import engine
from segue.data.log.read import InteractionLog, read_log
from segue.settings import ColumnsSettings, PreparationSettings


@pytest.fixture
def connection(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    return engine.connect(PreparationSettings(memory_limit="256MiB"), tmp_path / "scratch")


@pytest.fixture
def read(connection: duckdb.DuckDBPyConnection) -> Callable[..., InteractionLog]:
    def read_(source: Any, columns: dict[str, str] | None = None, **options: bool) -> InteractionLog:
        return read_log(connection, source, ColumnsSettings(**(columns or {})), **options)

    return read_
