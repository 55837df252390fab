"""Names and attributes of items and users, when some have come."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from duckdb import DuckDBPyConnection

from segue.data.log.attributes import read_attributes
from segue.errors import LogError
from segue.settings import Settings


def grown_attributes(
    connection: DuckDBPyConnection, known: pa.Table, given: Any, id_column: Any, settings: Settings
) -> pa.Table | None:
    """The attributes of a corpus' table, and of those ids that a file adds; what is known already stays as it is.

    Args:
        known: the old table of items or users. given: a file or frame; None where there is none.

    Raises LogError for a file that cannot be read, or that has other columns than the corpus.
    """
    columns = [name for name in known.column_names if name != "known"]
    own = known.select(columns).filter(pc.is_valid(known.column(id_column)))
    if given is None:
        return own if len(columns) > 2 or own.column("name").null_count < len(own) else None
    read = given
    if not isinstance(given, pa.Table):
        words = settings.columns.null_words
        read = read_attributes(
            connection, given, id_column, settings.csv, drop_invalid=settings.preparation.drop_invalid, null_words=words
        )
    asked = {*columns} - {"name"}
    if {*read.column_names} - {"name"} != asked:
        raise LogError(
            f"the {id_column[:-3]}s of the model have the columns {', '.join(sorted(asked))}, the file has"
            f" {', '.join(sorted({*read.column_names} - {'name'}))}; give the same ones, or leave the file out"
        )
    if "name" not in read.column_names:
        read = read.append_column("name", pa.nulls(len(read), pa.string()))
    fresh = read.filter(pc.invert(pc.is_in(read.column(id_column), value_set=own.column(id_column).combine_chunks())))
    return pa.concat_tables([own, fresh.select(columns).cast(own.schema)])
