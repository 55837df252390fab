"""Warnings about items and users files: what they describe of the corpus, and words in them that stand for nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from duckdb import DuckDBPyConnection

from segue.data.engine import file_list, one_row, quoted
from segue.data.log.attributes import categorical
from segue.data.log.id_spellings import spelling_key
from segue.data.log.ids_of_log import WRITTEN_NULLS, pair, read_as_missing, shown

_FEW = 0.5
_DESCRIPTIONS = "segue_descriptions"
_NUMBER = "nullif(regexp_replace({id}, '^[^1-9]*', ''), '')"
"""An id without what stands before its first digit that is not zero: equal for ``item_0012`` and ``12``."""


def description_warnings(
    connection: DuckDBPyConnection,
    kind: str,
    folder: Path,
    attributes: pa.Table,
    described: int,
    null_words: Sequence[str],
) -> list[str]:
    """The warnings about an items or users file whose corpus is numbered.

    Args:
        kind: "items" or "users".
        folder: of the corpus, whose items.parquet or users.parquet is written.
        attributes: the ids, then any of name and categorical columns, as they were read.
        described: number of items or users of the corpus that the file describes.
        null_words: the words that the file was read with as missing values.
    """
    connection.register(_DESCRIPTIONS, attributes)
    identity = attributes.column_names[0]
    written = f"read_parquet({file_list([folder / f'{kind}.parquet'])})"
    ids = f"SELECT {quoted(identity)} AS id FROM {written} WHERE {quoted(identity)} IS NOT NULL"
    try:
        return [
            *_few_described(connection, kind, ids, attributes.column_names[0], described),
            *_words_for_nothing(connection, kind, categorical(attributes.column_names), null_words),
        ]
    finally:
        connection.unregister(_DESCRIPTIONS)


def _few_described(
    connection: DuckDBPyConnection, kind: str, ids: str, id_column: str, described: int
) -> Iterator[str]:
    (all_,) = one_row(connection, f"SELECT count(*) FROM ({ids})")
    if described >= _FEW * all_:
        return
    file = f"SELECT {quoted(id_column)} AS id FROM {_DESCRIPTIONS}"
    left = f"SELECT id FROM ({ids}) ANTI JOIN ({file}) USING (id)"
    for key in (spelling_key("id"), _NUMBER.format(id="id")):
        alike, of_corpus, of_file = one_row(
            connection,
            f"""
            SELECT count(*), min(c.id), arg_min(f.id, c.id)
            FROM (SELECT any_value(id) AS id, {key} AS key FROM ({left}) GROUP BY key) AS c
            JOIN (SELECT any_value(id) AS id, {key} AS key FROM ({file}) GROUP BY key) AS f USING (key)
            """,
        )
        if alike and alike >= _FEW * (all_ - described):
            hint = f"its ids are written in another way: {pair(of_corpus, of_file)} look like one id of log and file; "
            advice = "write the ids of both in one way"
            break
    else:
        (of_corpus,) = one_row(connection, f"SELECT min(id) FROM ({left})")
        (of_file,) = one_row(connection, f"SELECT min(id) FROM ({file})")
        hint = f"the log has ids such as {shown(of_corpus)}, the file {shown(of_file)}; "
        advice = "is it the file of this log?"
    yield f"the {kind} file describes {described:,} of {all_:,} {kind}: {hint}{advice}"


def _words_for_nothing(
    connection: DuckDBPyConnection, kind: str, columns: Sequence[str], null_words: Sequence[str]
) -> Iterator[str]:
    known = ", ".join("?" for _ in WRITTEN_NULLS)
    for column in columns:
        rows = connection.execute(
            f"SELECT {quoted(column)}, count(*) FROM {_DESCRIPTIONS} WHERE lower(trim({quoted(column)})) IN ({known}) "
            "GROUP BY ALL ORDER BY ALL",
            list(WRITTEN_NULLS),
        ).fetchall()
        if rows:
            found = ", ".join(f"{shown(word)} in {count:,} rows" for word, count in rows)
            yield (
                f"column '{column}' of the {kind} file holds {found}: a word that often stands for a missing value, "
                f"read here as a value like any other; if it is none, read it as missing with "
                f"{read_as_missing(null_words, [word for word, _ in rows])}"
            )
