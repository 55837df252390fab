"""Reading of text files into the engine, as rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segue.data import engine
from segue.data.text.table import TextCopy, copy_text, open_text
from segue.settings import PreparationSettings

Rows = tuple[list[tuple[Any, ...]], TextCopy]


@pytest.fixture
def rows_of(tmp_path: Path) -> Callable[..., Rows]:
    connection = engine.connect(PreparationSettings(memory_limit="256MiB"), tmp_path / "scratch")

    def read(text: str | bytes, name: str = "log.csv", *, drop_invalid: bool = False, **options: Any) -> Rows:
        file = tmp_path / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        table = open_text([file], **options)
        wanted = {f"c{number}": f"c{number}" for number in range(len(table.columns))}
        copied = copy_text(connection, table, wanted, "copied", drop_invalid=drop_invalid)
        return connection.execute("FROM copied ORDER BY rowid").fetchall(), copied

    return read
