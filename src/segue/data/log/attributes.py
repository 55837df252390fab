"""The attributes of items and users: one row per id, an optional name, categorical columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import duckdb
import pyarrow as pa

from segue.data import engine
from segue.data.engine import one_row, table_of
from segue.data.log.opening import name_of, opened
from segue.data.log.tabular import (
    Tabular,
    as_text,
    column_types,
    forget_words,
    quoted,
    require_column,
    row_in_words,
    stage,
)
from segue.errors import ConfigError, LogError
from segue.settings.base import nearest

_ROWS = "attribute_rows"
_NOT_CATEGORICAL = {"item_id", "user_id", "known", "name"}


def categorical(columns: Iterable[str]) -> list[str]:
    """The columns of an items or users table that are attributes."""
    return [column for column in columns if column not in _NOT_CATEGORICAL]


def check_attributes(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], *, items: Any = None, users: Any = None
) -> None:
    """Raise ConfigError unless the setting `graph.attributes` names columns of these sources; reads only headers."""
    known = []
    for owner, source in (("item", items), ("user", users)):
        if names and source is not None:
            with engine.guarded(f"reading {name_of(source)}"), opened(connection, source) as table:
                known += [f"{owner}.{column}" for column in categorical(table.columns)]
    check_names(names, known)


def check_names(names: Sequence[str], known: list[str]) -> None:
    """Raise ConfigError when `graph.attributes` names a column that is not `known` (``"item.COLUMN"``) or twice."""
    for name in names:
        if name not in known:
            hint = nearest(name, known) if known else "items and users have no such columns (see --items and --users)"
            raise ConfigError(f"graph.attributes: no column '{name}': {hint}")
        if names.count(name) > 1:
            raise ConfigError(f"graph.attributes: '{name}' is named twice; name each column once")


def read_attributes(
    connection: duckdb.DuckDBPyConnection,
    path: Any,
    id_column: Literal["item_id", "user_id"],
    null_words: Sequence[str] = (),
) -> pa.Table:
    """Read an items or users file: anything that ``read_log`` takes. `null_words` stand for missing values.

    Returns:
        The id column, ``name`` where there is one, then the other columns in their order; all of them text, nulls
        kept (an empty field is null), rows in the order of the source.

    Raises LogError: a source that is missing, empty or damaged, no id column, null or repeated ids, a column of lists
    or records. UserMistake: a full disk, too little memory.
    """
    with engine.guarded(f"reading {name_of(path)}"), opened(connection, path) as table:
        require_column(table, id_column, lambda name: f"rename column '{name}' to {id_column}")
        columns = [id_column, *(column for column in table.columns if column != id_column)]
        stage(connection, table, {f"a{number}": column for number, column in enumerate(columns)}, _ROWS)
        forget_words(connection, _ROWS, null_words)
        try:
            return _as_text(connection, table, columns)
        finally:
            connection.execute(f"DROP TABLE {_ROWS}")


def _as_text(connection: duckdb.DuckDBPyConnection, table: Tabular, columns: list[str]) -> pa.Table:
    texts = []
    for column, (staged, kind) in zip(columns, column_types(connection, _ROWS).items(), strict=True):
        text = as_text(quoted(staged), kind)
        if text is None:
            raise LogError(f"{table.name}: column '{column}' holds {kind}; attributes are text or numbers")
        texts.append(text)
    _refuse_bad_ids(connection, table, columns[0], texts[0])
    rows = table_of(connection, f"SELECT {', '.join(texts)} FROM {_ROWS} ORDER BY rowid").rename_columns(columns)
    return rows.select(sorted(columns, key=lambda column: (column != columns[0], column != "name")))


def _refuse_bad_ids(connection: duckdb.DuckDBPyConnection, table: Tabular, column: str, text: str) -> None:
    nulls, first = one_row(connection, f"SELECT count(*), min(rowid) FROM {_ROWS} WHERE {text} IS NULL")
    if nulls:
        where = row_in_words(connection, table, first)
        raise LogError(
            f"{table.name}: column '{column}' is null or empty in {nulls:,} rows, first in {where}; fill them"
        )
    repeated, again, example = one_row(
        connection,
        f"""
        SELECT coalesce(sum(times - 1), 0), min(second), arg_min(id, second) FROM (
            SELECT {text} AS id, count(*) AS times, min(rowid, 2)[2] AS second FROM {_ROWS} GROUP BY id HAVING times > 1
        )
        """,
    )
    if repeated:
        raise LogError(
            f"{table.name}: {repeated:,} rows repeat an id of column '{column}', first '{example}' in "
            f"{row_in_words(connection, table, again)}; keep one row per id"
        )
