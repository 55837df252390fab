"""From train sessions to edge tables: counts, top-S transitions, eq. (1)-(3), user-item edges. SQL on DuckDB, or Spark.

Every sum is over whole numbers and every top-k has a total order (weight descending, then id), so the tables do not
depend on the order of the sessions, on threads, or on how often the engine spilled to disk. The reciprocals of eq. (1)
are exact for sessions of up to 20 items; see :mod:`segue.graph.reciprocals` for longer ones.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segue.data.arrays import PAIRS_PER_BLOCK, IntArray, blocks
from segue.data.corpus import Sessions
from segue.data.engine import connect, guarded, spill_folder
from segue.data.tables import Engine, create
from segue.graph.attributes import Attribute, read_attributes
from segue.graph.closest import Closest
from segue.graph.order import order_counts
from segue.graph.reciprocals import scale_of_reciprocals
from segue.graph.tables import ITEM, PAPER_RELATIONS, SHRINKAGE, USER, CountTable, CsrTable, EdgeTables
from segue.settings import GraphSettings, PreparationSettings

logger = logging.getLogger("segue")

MEMORY_TOP = 101
"""Companions, and items before and after, kept per item for the memory of preset `segue`."""

_LARGEST_HEAP = 999_999
"""Most rows that the query engine keeps per group."""

# A self transition (v, v) is dropped: eq. (5) joins every item with itself already.
_TRANSITIONS = """
SELECT item, next, count(*) AS weight FROM events WHERE next >= 0 AND next <> item GROUP BY item, next"""

_USER_ITEMS = """
SELECT "user", item, count(*) AS weight FROM events WHERE "user" < {n_users} GROUP BY "user", item"""

# share = scale / n_s stands for the 1 / |N(s)| of eq. (1): whole numbers add up to the same sum in any order.
_INCIDENCE = """
SELECT session, item, CAST({scale} AS BIGINT) // count(*) OVER (PARTITION BY session) AS share
FROM (SELECT DISTINCT session, item FROM events) AS held"""

_SUPPORT = "SELECT item, count(*) AS sessions FROM incidence GROUP BY item"

_LINKED = """
SELECT source, destination FROM adjacent_in UNION SELECT source, destination FROM adjacent_out"""

# Eq. (3): K' = min(K, |N_v|), N_v the distinct neighbours through in or out after the top-S cut.
_REACH = """
SELECT destination AS item, least(count(*), {k}) AS reach FROM linked GROUP BY destination"""

# The co-occurring pairs of a block of items with eq. (1). Equal f reach their last bits by different roots, so f is
# rounded to 36 of its 53 bits, by Veltkamp's splitting with 2^17 + 1: a tie must not be decided by rounding.
_PAIRS = """
SELECT source, destination, shared AS weight, f * 131073 - (f * 131073 - f) AS similarity, closeness
FROM (
    SELECT source, destination, shared,
           shared / sqrt(CAST(s.sessions + {shrinkage} AS DOUBLE) * (d.sessions + {shrinkage})) AS closeness,
           share / CAST({scale} AS DOUBLE) / sqrt(CAST(s.sessions AS DOUBLE) * d.sessions) AS f
    FROM (
        SELECT a.item AS destination, b.item AS source, count(*) AS shared, CAST(sum(a.share) AS BIGINT) AS share
        FROM incidence a JOIN incidence b ON a.session = b.session AND a.item <> b.item
        WHERE a.item >= {first} AND a.item < {end}
        GROUP BY a.item, b.item) AS together
    JOIN support s ON s.item = source
    JOIN support d ON d.item = destination) AS measured"""


def build_relations(
    sessions: Sessions,
    n_items: int,
    n_users: int,
    settings: GraphSettings,
    *,
    preparation: PreparationSettings,
    items: pa.Table | None = None,
    users: pa.Table | None = None,
    memory_top: int = MEMORY_TOP,
    scratch: Path | None = None,
) -> EdgeTables:
    """The global graph of the given sessions: section 4.2, eq. (1)-(3). Pass train sessions only.

    A relation left out of ``settings.relations`` (Table 5) changes none of the others. Sessions of users from
    `n_users` on feed the item relations alone.

    Args:
        items, users: the corpus's tables, for the columns that ``settings.attributes`` names.
        memory_top: companions, and items that come later, kept per item for the memory; 0: there is none, and what
            comes later is not counted.
        scratch: folder for what does not fit into ``preparation.memory_limit``; unset: that of the running
            :func:`segue.data.engine.spilling`, else the system's temporary folder.

    Raises ConfigError for an attribute that is no column, UserMistake when memory or disk do not suffice.
    """
    attributes = read_attributes(settings.attributes, items, users, n_items, n_users)
    with (
        guarded("building the graph"),
        tempfile.TemporaryDirectory(prefix="segue-graph-", dir=scratch or spill_folder()) as folder,
        closing(connect(preparation, Path(folder))) as connection,
    ):
        connection.execute("SET preserve_insertion_order = false")  # every result below is ordered by name
        connection.register("events", _events(sessions))
        scale = scale_of_reciprocals(int(sessions.lengths.max(initial=0)), len(sessions))
        items_at_once = list(blocks(_pairs_per_item(sessions, n_items), PAIRS_PER_BLOCK))
        found = count_relations(connection, n_items, n_users, settings, scale, items_at_once, memory_top)
    return with_attributes(found, attributes)


def with_attributes(tables: EdgeTables, attributes: Sequence[Attribute]) -> EdgeTables:
    """The tables with the nodes of attributes and their edges."""
    n_nodes, edges = dict(tables.n_nodes), dict(tables.edges)
    for attribute in attributes:
        edges |= attribute.edges(n_nodes[attribute.owner])
        n_nodes[attribute.node_type] = attribute.n_values
    return replace(tables, n_nodes=n_nodes, edges=edges)


def count_relations(
    engine: Engine,
    n_items: int,
    n_users: int,
    settings: GraphSettings,
    scale: int,
    items_at_once: Sequence[slice],
    memory_top: int = MEMORY_TOP,
) -> EdgeTables:
    """The graph without attributes, of the engine's table ``events``.

    Args:
        engine: with the table ``events`` (number, session, user, item, next): one row per event of train, numbered in
            the order of the sessions, with the item that follows it in its session, or -1.
        scale: see :func:`segue.graph.reciprocals.scale_of_reciprocals`.
        items_at_once: blocks of items whose pairs are formed together.
    """
    n_nodes = {ITEM: n_items, USER: n_users + 1}
    edges = _adjacency(engine, settings, n_items) | _user_edges(engine, settings, n_nodes)
    transitions = _rows(engine, "SELECT next AS source, item AS destination, weight FROM transitions", n_items)
    user_items = _rows(engine, 'SELECT item AS source, "user" AS destination, weight FROM user_items', n_users)
    order = order_counts(engine, n_items, memory_top) if memory_top else CsrTable.empty(n_items)
    item_sessions = _support(engine, n_items, scale)
    heap = min(n_items, _LARGEST_HEAP)  # no item has as many companions as there are items
    asked = settings.top_k_similar + 2 * settings.sample_size if "similar" in settings.relations else 1
    closest = Closest(engine, top=max(min(memory_top, heap), 1), candidates=min(asked, heap))
    pairs = _PAIRS.replace("{scale}", str(scale)).replace("{shrinkage}", str(SHRINKAGE))
    edges["similar"], cooccurrence = _cooccurrence(engine, items_at_once, n_items, pairs, closest)
    chosen: dict[str, CsrTable] = {name: edges[name] for name in PAPER_RELATIONS if name in settings.relations}
    return EdgeTables(n_nodes, chosen, transitions, order, user_items, cooccurrence, item_sessions, memory_top)


def _events(sessions: Sessions) -> pa.Table:
    """One row per event, with the item that follows it in its session (-1 at the end)."""
    lengths = sessions.lengths
    following = np.full(len(sessions.items), -1, dtype=np.int32)
    following[:-1] = sessions.items[1:]
    following[sessions.offsets[1:][lengths > 0] - 1] = -1
    number = np.arange(len(sessions), dtype=np.int32)
    return pa.table(
        {
            "number": np.arange(len(sessions.items)),
            "session": np.repeat(number, lengths),
            "user": np.repeat(sessions.user, lengths),
            "item": sessions.items,
            "next": following,
        }
    )


def _adjacency(engine: Engine, settings: GraphSettings, n_items: int) -> dict[str, CsrTable]:
    """Edges of adjacent_in and adjacent_out: the S most frequent predecessors and successors per destination."""
    create(engine, "transitions", _TRANSITIONS)
    ends = {
        "adjacent_in": "SELECT item AS source, next AS destination, weight FROM transitions",
        "adjacent_out": "SELECT next AS source, item AS destination, weight FROM transitions",
    }
    for name, select in ends.items():
        create(engine, name, _heaviest(select, settings.sample_size))
    create(engine, "linked", _LINKED)
    create(engine, "reach", _REACH.format(k=settings.top_k_similar))
    return {name: _rows(engine, f"SELECT * FROM {name}", n_items) for name in ends}


def _user_edges(engine: Engine, settings: GraphSettings, n_nodes: dict[str, int]) -> dict[str, CsrTable]:
    """Edges of interacted_by (user → item, bounded by max_users_per_item) and interact (item → user)."""
    create(engine, "user_items", _USER_ITEMS.format(n_users=n_nodes[USER] - 1))
    listened = 'SELECT "user" AS source, item AS destination, weight FROM user_items'
    if settings.max_users_per_item is not None:
        listened = _heaviest(listened, settings.max_users_per_item)
    interact = 'SELECT item AS source, "user" AS destination, weight FROM user_items'
    return {
        "interacted_by": _rows(engine, listened, n_nodes[ITEM]),
        "interact": _rows(engine, interact, n_nodes[USER]),
    }


def _support(engine: Engine, n_items: int, scale: int) -> IntArray:
    """Number of sessions |N(v)| that hold each item, [n_items]."""
    create(engine, "incidence", _INCIDENCE.format(scale=scale))
    create(engine, "support", _SUPPORT)
    return _by_item(_columns(engine, "SELECT * FROM support"), "sessions", n_items)


def _pairs_per_item(sessions: Sessions, n_items: int) -> IntArray:
    """Upper bound on the pairs that each item forms: the lengths of the sessions of its events, [n_items]."""
    lengths = sessions.lengths
    return np.bincount(sessions.items, weights=np.repeat(lengths, lengths), minlength=n_items).astype(np.int64)


def _cooccurrence(
    engine: Engine, items_at_once: Sequence[slice], n_items: int, pairs: str, closest: Closest
) -> tuple[CsrTable, CountTable]:
    """Similar items by eq. (1)-(3), and the most frequent companions of each item, block by block of items."""
    similar, companions, sums = [], [], []
    # Blocks also keep the hash table of the pairs near the processor's cache.
    for number, block in enumerate(items_at_once, 1):
        create(engine, "pairs", pairs.format(first=block.start, end=block.stop))
        closest.find()
        similar.append(_fetch(engine, _heaviest(closest.unlinked, "reach")))
        companions.append(_columns(engine, closest.companions))
        sums.append(_columns(engine, "SELECT destination AS item, total, degree FROM best"))
        logger.info("graph: item similarity, block %d of %d", number, len(items_at_once))
    before = _joined(sums)
    total, degree = (_by_item(before, name, n_items) for name in ("total", "degree"))
    return _table(_joined(similar), n_items), CountTable(_table(_joined(companions), n_items), total, degree)


def _heaviest(select: str, bound: int | str) -> str:
    """The `bound` heaviest rows of each destination, ties by source; `bound` may name a column of `select`."""
    return f"""
SELECT source, destination, weight FROM (
    SELECT *, row_number() OVER (PARTITION BY destination ORDER BY weight DESC, source) AS place
    FROM ({select}) AS asked) AS placed
WHERE place <= {bound}"""


Columns = dict[str, npt.NDArray[Any]]


def _fetch(engine: Engine, select: str) -> Columns:
    """Rows of (source, destination, weight) as numpy columns, in the order of a CsrTable."""
    query = f"SELECT source, destination, weight FROM ({select}) AS asked ORDER BY destination, weight DESC, source"
    return _columns(engine, query)


def _columns(engine: Engine, query: str) -> Columns:
    return {name: np.asarray(column) for name, column in engine.execute(query).fetchnumpy().items()}


def _rows(engine: Engine, select: str, n_rows: int) -> CsrTable:
    return _table(_fetch(engine, select), n_rows)


def _table(columns: Columns, n_rows: int) -> CsrTable:
    return CsrTable.from_sorted(columns["destination"], columns["source"], columns["weight"], n_rows)


def _joined(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _by_item(columns: Columns, name: str, n_items: int) -> IntArray:
    values = np.zeros(n_items, dtype=np.int64)
    values[columns["item"]] = columns[name]
    return values
