"""The graph inside the preparation: counted by its engine, of its tables, before they are gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection

from segue.data.arrays import PAIRS_PER_BLOCK, blocks
from segue.data.corpus import Part
from segue.data.corpus_folder import GRAPH
from segue.data.engine import one_row
from segue.data.tables import Engine, create
from segue.graph.reciprocals import scale_of_reciprocals
from segue.graph.relations import MEMORY_TOP, count_relations
from segue.graph.stored import digest, write_graph
from segue.settings import GraphSettings

_EVENTS = f"""
SELECT e.event AS number, n.session, n."user", v.item, n.length,
       coalesce(lead(v.item) OVER within, -1) AS next
FROM events AS e JOIN numbered AS n USING (session_key) JOIN vocabulary AS v USING (item_key)
WHERE n.part = {int(Part.TRAIN)} WINDOW within AS (PARTITION BY n.session ORDER BY e.event)
"""


def prepare_graph(engine: Engine, folder: Path, settings: GraphSettings) -> dict[str, Any]:
    """Count the graph of train and write it beside the corpus in `folder`; returns what the manifest says of it.

    Args:
        engine: with the tables of the preparation, whose ``events`` are replaced.
    """
    create(engine, "events", _EVENTS)
    (n_items,) = one_row(engine, "SELECT count(*) FROM vocabulary")
    (n_users,) = one_row(engine, "SELECT count(*) FROM owners WHERE known")
    longest, sessions = one_row(
        engine, f"SELECT coalesce(max(length), 0), count(*) FROM numbered WHERE part = {int(Part.TRAIN)}"
    )
    scale = scale_of_reciprocals(longest, sessions)
    tables = count_relations(engine, n_items, n_users, settings, scale, _blocks(engine, n_items), MEMORY_TOP)
    return write_graph(tables, settings, _digest(folder / Part.TRAIN.file), folder / GRAPH)


def _blocks(engine: Engine, n_items: int) -> list[slice]:
    """Blocks of items whose pairs DuckDB forms together; Spark divides its work itself."""
    if not isinstance(engine, DuckDBPyConnection):
        return [slice(0, n_items)]
    pairs = np.zeros(n_items, dtype=np.int64)
    found = engine.execute("SELECT item, CAST(sum(length) AS BIGINT) AS pairs FROM events GROUP BY item").fetchnumpy()
    pairs[np.asarray(found["item"])] = np.asarray(found["pairs"])
    return list(blocks(pairs, PAIRS_PER_BLOCK))


def _digest(train: Path) -> str:
    """The digest of the train sessions that were just written, read piece by piece."""
    with pq.ParquetFile(train) as file:
        columns = [[batch.column(0) for batch in file.iter_batches(columns=[name])] for name in ("items", "user")]
    items, user = columns
    return digest(
        (piece.flatten() for piece in items), (piece.value_lengths() for piece in items), (piece for piece in user)
    )
