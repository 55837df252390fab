"""The attributes of items and users: one row per id, an optional name, categorical columns."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import duckdb
import pyarrow as pa

from segue.data import engine
from segue.data.engine import column_types, one_row, quoted, table_of
from segue.data.log.opening import name_of, opened
from segue.data.log.tabular import Loaded, Tabular, as_text, counted, forget_words, inexact, require_column, stage
from segue.errors import ConfigError, LogError
from segue.settings import CsvSettings
from segue.settings.base import nearest

logger = logging.getLogger("segue")

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
    csv: CsvSettings | None = None,
    *,
    drop_invalid: bool = False,
    null_words: Sequence[str] = (),
) -> pa.Table:
    """Read an items or users file: anything that ``read_log`` takes. `null_words` stand for missing values.

    Args:
        csv: of it, the meaning of quotes; the delimiter is recognised, and the file has a header.
        drop_invalid: leave out, and count, lines that are no rows.

    Returns:
        The id column, ``name`` where there is one, then the other columns in their order; all of them text, nulls
        kept (an empty field is null), rows in the order of the source.

    Raises LogError: a source that is missing, empty or damaged, no id column, null or repeated ids, a column of lists
    or records. UserMistake: a full disk, too little memory.
    """
    settings = CsvSettings(quoting=csv.quoting) if csv else None
    with engine.guarded(f"reading {name_of(path)}"), opened(connection, path, settings) as table:
        require_column(table, id_column, lambda name: f"rename column '{name}' to {id_column}")
        columns = [id_column, *(column for column in table.columns if column != id_column)]
        wanted = {f"a{number}": column for number, column in enumerate(columns)}
        loaded = stage(connection, table, wanted, _ROWS, drop_invalid=drop_invalid)
        forget_words(connection, _ROWS, null_words)
        try:
            rows = _as_text(connection, table, columns, loaded)
            _say(connection, table, id_column, loaded)
            return rows
        finally:
            connection.execute(f"DROP TABLE {_ROWS}")


def _say(connection: duckdb.DuckDBPyConnection, table: Tabular, id_column: str, loaded: Loaded) -> None:
    """Log what is worth saying about how the file was read."""
    kind = column_types(connection, _ROWS)["a0"]
    for note in (*loaded.notes, *inexact(connection, _ROWS, "a0", kind, id_column)):
        logger.warning("%s: %s", table.name, note)
    if loaded.dropped:
        logger.warning("%s: left out %s", table.name, counted(loaded.dropped))


def _as_text(connection: duckdb.DuckDBPyConnection, table: Tabular, columns: list[str], loaded: Loaded) -> pa.Table:
    texts = []
    for column, (staged, kind) in zip(columns, column_types(connection, _ROWS).items(), strict=True):
        text = as_text(quoted(staged), kind)
        if text is None:
            raise LogError(f"{table.name}: column '{column}' holds {kind}; attributes are text or numbers")
        texts.append(text)
    _refuse_bad_ids(connection, table, columns[0], texts[0], loaded)
    rows = table_of(connection, f"SELECT {', '.join(texts)} FROM {_ROWS} ORDER BY rowid").rename_columns(columns)
    return rows.select(sorted(columns, key=lambda column: (column != columns[0], column != "name")))


def _refuse_bad_ids(
    connection: duckdb.DuckDBPyConnection, table: Tabular, column: str, text: str, loaded: Loaded
) -> None:
    nulls, first = one_row(connection, f"SELECT count(*), min(rowid) FROM {_ROWS} WHERE {text} IS NULL")
    if nulls:
        where = loaded.position(first)
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
            f"{loaded.position(again)}; keep one row per id"
        )
