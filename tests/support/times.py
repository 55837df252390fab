"""Columns of times, read as the log reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from segue.data.log.timestamps import TimestampFormat, recognise
from segue.settings import ColumnsSettings

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(
    values: Any, kind: pa.DataType | None = None, *, drop: bool = False, **asked: str
) -> tuple[TimestampFormat, list[int | None]]:
    connection = duckdb.connect(config={"threads": 1})
    connection.register("given", pa.table({"t": pa.array(values, kind)}))
    connection.execute("CREATE OR REPLACE TEMP TABLE rows AS SELECT * FROM given")
    found = recognise(
        connection,
        "rows",
        "t",
        "LOG",
        lambda row: f"row {row + 1}",
        asked=ColumnsSettings(**asked),
        drop_unreadable=drop,
    )
    times = connection.execute(f"SELECT {found.sql} FROM rows ORDER BY rowid").fetchall()
    return found, [time for (time,) in times]


def milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)
