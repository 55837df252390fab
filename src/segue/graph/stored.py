"""Graph tables beside a corpus: written when it is prepared (``--with-graph``), and taken by training as they are.

The folder ``graph`` of a corpus holds a Parquet file per table, ``row``, ``id`` and ``value`` in the order of the
table, and ``items.parquet`` with the sums of each item. The corpus's manifest says under ``graph`` with which settings
they were made, of which train sessions, and the checksum of every file.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segue.data.checks import check_range, read_table
from segue.data.corpus import Corpus, Sessions
from segue.data.corpus_folder import GRAPH, damage_named
from segue.graph.attributes import read_attributes
from segue.graph.relations import build_relations, with_attributes
from segue.graph.tables import ITEM, PAPER_RELATIONS, USER, CountTable, CsrTable, EdgeTables
from segue.settings import GraphSettings, PreparationSettings
from segue.system.checksums import sha256_of

logger = logging.getLogger("segue")

_COUNTS = ("transitions", "order", "user_items", "cooccurrence")
_ITEMS = "items"
_SETTINGS = {"sample_size", "top_k_similar", "relations", "max_users_per_item"}
"""Settings that decide what is in the tables; attributes are added when the tables are taken."""


def write_graph(tables: EdgeTables, settings: GraphSettings, train: str, folder: Path) -> dict[str, Any]:
    """Write the tables into the new folder `folder`; returns what the manifest says of them.

    Args:
        train: the :func:`digest` of the train sessions that they were made of.
    """
    folder.mkdir()
    stored = {**tables.edges, "transitions": tables.transitions, "order": tables.order}
    stored |= {"user_items": tables.user_items, "cooccurrence": tables.cooccurrence.kept}
    for name, table in stored.items():
        row = np.repeat(np.arange(len(table), dtype=np.int32), table.lengths)
        columns = {"row": row, "id": table.ids, "value": table.values}
        pq.write_table(pa.table(columns), folder / f"{name}.parquet", compression="zstd")
    counts = tables.cooccurrence
    sums = {"sessions": tables.item_sessions, "total": counts.total, "degree": counts.degree}
    pq.write_table(pa.table(sums), folder / f"{_ITEMS}.parquet", compression="zstd")
    return {
        "settings": settings.model_dump(mode="json", include=_SETTINGS),
        "memory_top": tables.memory_top,
        "train": train,
        "sha256": {name: sha256_of(folder / f"{name}.parquet") for name in sorted([*stored, _ITEMS])},
    }


def relations_of(
    corpus: Corpus, settings: GraphSettings, *, preparation: PreparationSettings, memory_top: int
) -> EdgeTables:
    """The graph of a corpus's train sessions: as it was prepared, where the corpus brings that, else built now.

    Tables are taken where they were made of these very sessions under these settings; otherwise a line of the log says
    why not. Either way the result is that of :func:`segue.graph.relations.build_relations`.

    Raises CorpusError for prepared tables that are damaged, and what ``build_relations`` raises.
    """
    noted = corpus.manifest.get(GRAPH) if corpus.folder is not None else None
    if noted is not None and corpus.folder is not None:
        why_not = _why_not(noted, corpus, settings, memory_top)
        if why_not is None:
            with damage_named(corpus.folder):
                found = _read(corpus.folder / GRAPH, noted, corpus, settings)
            logger.info("graph: taken as it was prepared with the corpus")
            return with_attributes(_cut(found, memory_top), _attributes(corpus, settings))
        logger.info("graph: built anew, since the one prepared with the corpus is of other %s", why_not)
    return build_relations(
        corpus.train, corpus.n_items, corpus.n_users, settings,
        preparation=preparation, items=corpus.items, users=corpus.users, memory_top=memory_top,
    )  # fmt: skip


def digest(items: Iterable[Any], lengths: Iterable[Any], user: Iterable[Any]) -> str:
    """sha256 of sessions, from the pieces of their items, their lengths and their users, each int32 or int64."""
    whole = hashlib.sha256()
    for pieces, kind in ((items, "<i4"), (lengths, "<i8"), (user, "<i4")):
        part = hashlib.sha256()
        for piece in pieces:
            part.update(np.ascontiguousarray(piece, dtype=kind).tobytes())
        whole.update(part.digest())
    return whole.hexdigest()


def digest_of(sessions: Sessions) -> str:
    """The :func:`digest` of sessions in memory."""
    return digest([sessions.items], [sessions.lengths], [sessions.user])


def _why_not(noted: Mapping[str, Any], corpus: Corpus, settings: GraphSettings, memory_top: int) -> str | None:
    """What keeps the prepared tables from being those that are asked for; None where nothing does."""
    asked = settings.model_dump(mode="json", include=_SETTINGS)
    differing = [f"graph.{key}" for key, value in asked.items() if noted["settings"].get(key) != value]
    if differing:
        return f"settings ({', '.join(differing)})"
    if memory_top > noted["memory_top"]:
        return f"size: it keeps {noted['memory_top']} per item, {memory_top} are asked for"
    return None if noted["train"] == digest_of(corpus.train) else "train sessions"


def _attributes(corpus: Corpus, settings: GraphSettings) -> Any:
    return read_attributes(settings.attributes, corpus.items, corpus.users, corpus.n_items, corpus.n_users)


def _read(folder: Path, noted: Mapping[str, Any], corpus: Corpus, settings: GraphSettings) -> EdgeTables:
    """The tables, every file compared with its checksum. Raises OSError or ValueError for damage."""
    n_nodes = {ITEM: corpus.n_items, USER: corpus.n_users + 1}
    rows = dict.fromkeys([*settings.relations, *_COUNTS], corpus.n_items)
    rows |= {"user_items": corpus.n_users} | ({"interact": n_nodes[USER]} if "interact" in rows else {})
    tables = {}
    for name in [*rows, _ITEMS]:
        file = folder / f"{name}.parquet"
        if sha256_of(file) != noted["sha256"][name]:
            raise ValueError(f"{GRAPH}/{file.name} has changed since it was prepared")
        tables[name] = read_table(file)
    csr = {name: _csr(tables[name], n_rows) for name, n_rows in rows.items()}
    sums = {name: _own(tables[_ITEMS].column(name)) for name in ("sessions", "total", "degree")}
    return EdgeTables(
        n_nodes,
        {name: csr[name] for name in PAPER_RELATIONS if name in settings.relations},
        csr["transitions"],
        csr["order"],
        csr["user_items"],
        CountTable(csr["cooccurrence"], sums["total"], sums["degree"]),
        sums["sessions"],
        noted["memory_top"],
    )


def _csr(table: pa.Table, n_rows: int) -> CsrTable:
    row, ids, values = (_own(table.column(name)) for name in ("row", "id", "value"))
    check_range("the graph's rows", row, 0, n_rows - 1)
    return CsrTable.from_sorted(row, ids, values, n_rows)


def _own(column: pa.ChunkedArray) -> Any:
    """A column as an array that may be written to: tensors share it."""
    return np.asarray(column).copy()


def _cut(tables: EdgeTables, top: int) -> EdgeTables:
    """The tables as they would be with so many companions kept per item."""
    order = tables.order.top(top) if top else CsrTable.empty(len(tables.order))
    return replace(tables, order=order, cooccurrence=tables.cooccurrence.top(max(top, 1)), memory_top=top)
