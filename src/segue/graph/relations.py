"""From train sessions to edge tables: counts, top-S transitions, eq. (1)-(3), user-item edges. SQL on DuckDB.

Every sum is over whole numbers and every top-k has a total order (weight descending, then id), so the tables do not
depend on the order of the sessions, on threads, or on how often the engine spilled to disk. The reciprocals of eq. (1)
are exact for sessions of up to 20 items; see :mod:`segue.graph.reciprocals` for longer ones.
"""

from __future__ import annotations

import logging
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segue.data.arrays import PAIRS_PER_BLOCK, IntArray, blocks
from segue.data.corpus import Sessions
from segue.data.engine import connect, guarded, spill_folder
from segue.graph.attributes import read_attributes
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
CREATE TEMP TABLE transitions AS
SELECT item, next, count(*) AS weight FROM events WHERE next >= 0 AND next <> item GROUP BY item, next"""

_USER_ITEMS = """
CREATE TEMP TABLE user_items AS
SELECT "user", item, count(*) AS weight FROM events WHERE "user" < {n_users} GROUP BY "user", item"""

# share = scale / n_s stands for the 1 / |N(s)| of eq. (1): whole numbers add up to the same sum in any order.
_INCIDENCE = """
CREATE TEMP TABLE incidence AS
SELECT session, item, CAST({scale} AS BIGINT) // count(*) OVER (PARTITION BY session) AS share
FROM (SELECT DISTINCT session, item FROM events)"""

_SUPPORT = "CREATE TEMP TABLE support AS SELECT item, count(*) AS sessions FROM incidence GROUP BY item"

_LINKED = """
CREATE TEMP TABLE linked AS
SELECT source, destination FROM adjacent_in UNION SELECT source, destination FROM adjacent_out"""

# Eq. (3): K' = min(K, |N_v|), N_v the distinct neighbours through in or out after the top-S cut.
_REACH = """
CREATE TEMP TABLE reach AS
SELECT destination AS item, least(count(*), {k}) AS reach FROM linked GROUP BY destination"""

# The co-occurring pairs of a block of items with eq. (1). Equal f reach their last bits by different roots, so f is
# rounded to 36 of its 53 bits, by Veltkamp's splitting with 2^17 + 1: a tie must not be decided by rounding.
_PAIRS = """
CREATE OR REPLACE TEMP TABLE pairs AS
SELECT source, destination, shared AS weight, f * 131073 - (f * 131073 - f) AS similarity, closeness
FROM (
    SELECT source, destination, shared,
           shared / sqrt(CAST(s.sessions + {shrinkage} AS DOUBLE) * (d.sessions + {shrinkage})) AS closeness,
           share / CAST({scale} AS DOUBLE) / sqrt(CAST(s.sessions AS DOUBLE) * d.sessions) AS f
    FROM (
        SELECT a.item AS destination, b.item AS source, count(*) AS shared, CAST(sum(a.share) AS BIGINT) AS share
        FROM incidence a JOIN incidence b ON a.session = b.session AND a.item <> b.item
        WHERE a.item >= {first} AND a.item < {end}
        GROUP BY a.item, b.item)
    JOIN support s ON s.item = source
    JOIN support d ON d.item = destination)"""

# One pass over the pairs, heaps instead of a sort: the `top` closest companions with their numbers of sessions, by keys
# that order by (closeness descending, source); and a similarity that the K' best unlinked ones cannot fall below, since
# at most 2 S pairs are linked. Closeness is at most 1 and is rounded to 30 bits: ties must not be decided by rounding.
_BEST = """
CREATE OR REPLACE TEMP TABLE best AS
SELECT destination, CAST(sum(weight) AS BIGINT) AS total, count(*) AS degree,
       max(key, {top}) AS companions, arg_max(weight, key, {top}) AS weights,
       list_last(max(similarity, {candidates})) AS least
FROM (SELECT *, CAST(round(closeness * 1073741824) AS BIGINT) * 4294967296 - source AS key FROM pairs)
GROUP BY destination"""

_COMPANIONS = """
SELECT destination, -key & 4294967295 AS source, weight, key
FROM (SELECT destination, unnest(companions) AS key, unnest(weights) AS weight FROM best)
ORDER BY destination, key DESC"""

# A pair that in or out links already gets no similar edge; they are taken out first, then K' are kept.
_UNLINKED = """
SELECT p.source, p.destination, p.similarity AS weight, r.reach
FROM pairs p
JOIN best b ON b.destination = p.destination AND p.similarity >= b.least
JOIN reach r ON r.item = p.destination
ANTI JOIN linked l ON l.destination = p.destination AND l.source = p.source"""


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
    n_nodes = {ITEM: n_items, USER: n_users + 1}
    with (
        guarded("building the graph"),
        tempfile.TemporaryDirectory(prefix="segue-graph-", dir=scratch or spill_folder()) as folder,
        closing(connect(preparation, Path(folder))) as connection,
    ):
        connection.execute("SET preserve_insertion_order = false")  # every result below is ordered by name
        connection.register("events", _events(sessions))
        edges = _adjacency(connection, settings, n_items) | _user_edges(connection, settings, n_nodes)
        transitions = _rows(connection, "SELECT next AS source, item AS destination, weight FROM transitions", n_items)
        user_items = _rows(connection, 'SELECT item AS source, "user" AS destination, weight FROM user_items', n_users)
        order = order_counts(connection, n_items, memory_top) if memory_top else CsrTable.empty(n_items)
        scale = scale_of_reciprocals(int(sessions.lengths.max(initial=0)), len(sessions))
        item_sessions = _support(connection, n_items, scale)
        heap = min(n_items, _LARGEST_HEAP)  # no item has as many companions as there are items
        asked = settings.top_k_similar + 2 * settings.sample_size if "similar" in settings.relations else 1
        candidates = min(asked, heap)
        best = _BEST.format(top=max(min(memory_top, heap), 1), candidates=candidates)
        items_at_once = list(blocks(_pairs_per_item(sessions, n_items), PAIRS_PER_BLOCK))
        pairs = _PAIRS.replace("{scale}", str(scale)).replace("{shrinkage}", str(SHRINKAGE))
        edges["similar"], cooccurrence = _cooccurrence(connection, items_at_once, n_items, pairs, best)
    chosen: dict[str, CsrTable] = {name: edges[name] for name in PAPER_RELATIONS if name in settings.relations}
    for attribute in attributes:
        chosen |= attribute.edges(n_nodes[attribute.owner])
        n_nodes[attribute.node_type] = attribute.n_values
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


def _adjacency(connection: duckdb.DuckDBPyConnection, settings: GraphSettings, n_items: int) -> dict[str, CsrTable]:
    """Edges of adjacent_in and adjacent_out: the S most frequent predecessors and successors per destination."""
    connection.execute(_TRANSITIONS)
    ends = {
        "adjacent_in": "SELECT item AS source, next AS destination, weight FROM transitions",
        "adjacent_out": "SELECT next AS source, item AS destination, weight FROM transitions",
    }
    for name, select in ends.items():
        connection.execute(f"CREATE TEMP TABLE {name} AS {_heaviest(select, settings.sample_size)}")
    connection.execute(_LINKED)
    connection.execute(_REACH.format(k=settings.top_k_similar))
    return {name: _rows(connection, f"FROM {name}", n_items) for name in ends}


def _user_edges(
    connection: duckdb.DuckDBPyConnection, settings: GraphSettings, n_nodes: dict[str, int]
) -> dict[str, CsrTable]:
    """Edges of interacted_by (user → item, bounded by max_users_per_item) and interact (item → user)."""
    connection.execute(_USER_ITEMS.format(n_users=n_nodes[USER] - 1))
    listened = 'SELECT "user" AS source, item AS destination, weight FROM user_items'
    if settings.max_users_per_item is not None:
        listened = _heaviest(listened, settings.max_users_per_item)
    interact = 'SELECT item AS source, "user" AS destination, weight FROM user_items'
    return {
        "interacted_by": _rows(connection, listened, n_nodes[ITEM]),
        "interact": _rows(connection, interact, n_nodes[USER]),
    }


def _support(connection: duckdb.DuckDBPyConnection, n_items: int, scale: int) -> IntArray:
    """Number of sessions |N(v)| that hold each item, [n_items]."""
    connection.execute(_INCIDENCE.format(scale=scale))
    connection.execute(_SUPPORT)
    return _by_item(_columns(connection, "FROM support"), "sessions", n_items)


def _pairs_per_item(sessions: Sessions, n_items: int) -> IntArray:
    """Upper bound on the pairs that each item forms: the lengths of the sessions of its events, [n_items]."""
    lengths = sessions.lengths
    return np.bincount(sessions.items, weights=np.repeat(lengths, lengths), minlength=n_items).astype(np.int64)


def _cooccurrence(
    connection: duckdb.DuckDBPyConnection, items_at_once: list[slice], n_items: int, pairs: str, best: str
) -> tuple[CsrTable, CountTable]:
    """Similar items by eq. (1)-(3), and the most frequent companions of each item, block by block of items."""
    similar, companions, sums = [], [], []
    # Blocks also keep the hash table of the pairs near the processor's cache.
    for number, block in enumerate(items_at_once, 1):
        connection.execute(pairs.format(first=block.start, end=block.stop))
        connection.execute(best)
        similar.append(_fetch(connection, _heaviest(_UNLINKED, "reach")))
        companions.append(_columns(connection, _COMPANIONS))
        sums.append(_columns(connection, "SELECT destination AS item, total, degree FROM best"))
        logger.info("graph: item similarity, block %d of %d", number, len(items_at_once))
    before = _joined(sums)
    total, degree = (_by_item(before, name, n_items) for name in ("total", "degree"))
    return _table(_joined(similar), n_items), CountTable(_table(_joined(companions), n_items), total, degree)


def _heaviest(select: str, bound: int | str) -> str:
    """The `bound` heaviest rows of each destination, ties by source; `bound` may name a column of `select`."""
    return f"""
SELECT source, destination, weight FROM (
    SELECT *, row_number() OVER (PARTITION BY destination ORDER BY weight DESC, source) AS place FROM ({select}))
WHERE place <= {bound}"""


Columns = dict[str, npt.NDArray[Any]]


def _fetch(connection: duckdb.DuckDBPyConnection, select: str) -> Columns:
    """Rows of (source, destination, weight) as numpy columns, in the order of a CsrTable."""
    query = f"SELECT source, destination, weight FROM ({select}) ORDER BY destination, weight DESC, source"
    return _columns(connection, query)


def _columns(connection: duckdb.DuckDBPyConnection, query: str) -> Columns:
    return {name: np.asarray(column) for name, column in connection.execute(query).fetchnumpy().items()}


def _rows(connection: duckdb.DuckDBPyConnection, select: str, n_rows: int) -> CsrTable:
    return _table(_fetch(connection, select), n_rows)


def _table(columns: Columns, n_rows: int) -> CsrTable:
    return CsrTable.from_sorted(columns["destination"], columns["source"], columns["weight"], n_rows)


def _joined(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _by_item(columns: Columns, name: str, n_items: int) -> IntArray:
    values = np.zeros(n_items, dtype=np.int64)
    values[columns["item"]] = columns[name]
    return values
