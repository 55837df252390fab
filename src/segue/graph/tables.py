"""The global graph as plain numpy tables, as the query engine returns it and a model stores it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from segue.data.arrays import IntArray, offsets_of

ITEM, USER = "item", "user"

SHRINKAGE = 20
"""Sessions added to the support of both items in their closeness, against the luck of rare items."""

CUT_ROUNDING = 1e-12
"""Share by which a closeness must exceed the cut of a table: equal ones may differ in their last bits."""
FARTHEST = 10
"""Largest distance in events that counts in the order of items."""
UNIT = 2520
"""What distance 1 counts; a multiple of 1 to 10, so that 2520 / distance is whole and sums are exact in any order."""


def closeness(shared: Any, support: Any, other_support: Any) -> Any:
    """C / sqrt((n_i + 20) (n_j + 20)) of items that share C sessions, of n_i and n_j; arrays of whole numbers, or
    tensors."""
    return shared / ((support + SHRINKAGE) * (other_support + SHRINKAGE)) ** 0.5


PAPER_RELATIONS = {
    "adjacent_in": (ITEM, ITEM),
    "adjacent_out": (ITEM, ITEM),
    "similar": (ITEM, ITEM),
    "interacted_by": (USER, ITEM),
    "interact": (ITEM, USER),
}
"""Node types of source and destination by relation, section 4.2."""


@dataclass(frozen=True)
class Relation:
    """A kind of edge. Messages flow from `source` nodes to `destination` nodes."""

    name: str
    source: str
    destination: str

    @classmethod
    def named(cls, name: str) -> Relation:
        """Relation by name: one of the paper's five, ``has:TYPE`` or ``held_by:TYPE``.

        ``has`` leads from an attribute value to an item or user, ``held_by`` back. TYPE is the attribute's
        node type, such as ``item:department``. Raises KeyError for any other name.
        """
        if name in PAPER_RELATIONS:
            return cls(name, *PAPER_RELATIONS[name])
        direction, _, attribute = name.partition(":")
        owner = attribute.partition(":")[0]
        ends = {"has": (attribute, owner), "held_by": (owner, attribute)}
        return cls(name, *ends[direction])

    @property
    def rank(self) -> tuple[int, str]:
        """Key that sorts relations: the paper's in its order, then attributes by name."""
        paper = list(PAPER_RELATIONS)
        return (paper.index(self.name) if self.name in paper else len(paper), self.name)


@dataclass(frozen=True)
class CsrTable:
    """Rows of (id, value): row r is ``ids[offsets[r]:offsets[r + 1]]``, the most important first, ties by id.

    That is the largest value, for co-occurrence the largest closeness.

    Shapes: offsets int64 [rows + 1]; ids int32 and values (int64 counts or float64 weights) [entries].
    """

    offsets: IntArray
    ids: npt.NDArray[np.int32]
    values: npt.NDArray[Any]

    @classmethod
    def from_sorted(cls, rows: npt.NDArray[Any], ids: npt.NDArray[Any], values: npt.NDArray[Any], n_rows: int) -> Self:
        """Table from entries that are already in order of their rows."""
        offsets = offsets_of(np.bincount(rows, minlength=n_rows))
        return cls(offsets, ids.astype(np.int32, copy=False), values)

    @classmethod
    def empty(cls, n_rows: int) -> Self:
        """Rows without entries, of counts."""
        none = np.zeros(0, dtype=np.int64)
        return cls.from_sorted(none, none, none, n_rows)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        """Number of entries in each row, [rows]."""
        return np.diff(self.offsets)

    def row(self, number: int) -> dict[int, Any]:
        """One row as id → value, in its order."""
        cells = slice(self.offsets[number], self.offsets[number + 1])
        return dict(zip(self.ids[cells].tolist(), self.values[cells].tolist(), strict=True))

    def top(self, k: int) -> CsrTable:
        """The first k entries of each row."""
        lengths = np.minimum(self.lengths, k)
        offsets = offsets_of(lengths)
        cells = np.repeat(self.offsets[:-1] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return CsrTable(offsets, self.ids[cells], self.values[cells])

    def transposed(self) -> CsrTable:
        """The table read the other way: row i holds the rows that hold i. Both ways have as many rows."""
        row = np.repeat(np.arange(len(self)), self.lengths)
        order = np.lexsort((row, -self.values, self.ids))
        return CsrTable.from_sorted(self.ids[order], row[order], self.values[order], len(self))

    def repeated(self) -> CsrTable:
        """Table with every id as often as it was counted; weights that are no counts, as in eq. (1), repeat nothing."""
        if not np.issubdtype(self.values.dtype, np.integer):
            return self
        ends = offsets_of(self.values)
        return CsrTable(ends[self.offsets], np.repeat(self.ids, self.values), np.repeat(self.values, self.values))


@dataclass(frozen=True)
class CountTable:
    """Counts cut to the k largest of each row, with the totals of the rows before that cut.

    Attributes:
        kept: ids and int64 counts, [rows].
        total: sum of all counts of the row, int64 [rows].
        degree: number of distinct ids of the row, int64 [rows].
    """

    kept: CsrTable
    total: IntArray
    degree: IntArray

    @classmethod
    def whole(cls, table: CsrTable) -> CountTable:
        """Counts of a table from which nothing is cut yet."""
        sums = offsets_of(table.values)
        return cls(table, np.diff(sums[table.offsets]), table.lengths)

    def top(self, k: int) -> CountTable:
        """The k most frequent of each row; total and degree stay."""
        return CountTable(self.kept.top(k), self.total, self.degree)


@dataclass(frozen=True)
class EdgeTables:
    """The heterogeneous global graph of train sessions, and the counts it was cut from.

    Attributes:
        n_nodes: node type → number of nodes. "user" counts one more than the known users: the last row is the
            unknown user, a node without edges.
        edges: relation → rows of destination nodes with their source nodes and weights. The weights chose the
            edges (transition count, eq. (1), event count); eq. (4) does not use them.
        transitions: T[i, j], how often j directly follows i inside a session; (v, v) is not counted. [n_items]
        order: O[i, j], sum of 2520 / distance over all places where j comes 1 to 10 events after i inside a session;
            (v, v) is not counted. The `memory_top` largest per item. [n_items]
        user_items: events of each known user with each item, [n_users].
        cooccurrence: C[i, j], number of sessions that hold both items, of the `memory_top` closest per item by the
            closeness C[i, j] / sqrt((n_i + 20) (n_j + 20)). [n_items]
        item_sessions: n_v = |N(v)|, sessions that hold the item, int64 [n_items].
    """

    n_nodes: Mapping[str, int]
    edges: Mapping[str, CsrTable]
    transitions: CsrTable
    order: CsrTable
    user_items: CsrTable
    cooccurrence: CountTable
    item_sessions: IntArray
    memory_top: int

    @property
    def relations(self) -> tuple[Relation, ...]:
        """The kinds of edges, in the order of `edges`."""
        return tuple(Relation.named(name) for name in self.edges)

    def top_transitions(self, k: int) -> CountTable:
        """The k most frequent successors of each item, with T[i, j]; (count descending, id)."""
        return CountTable.whole(self.transitions).top(k)

    def top_predecessors(self, k: int) -> CsrTable:
        """The k most frequent predecessors of each item, with T[j, i]; (count descending, id)."""
        return self.transitions.transposed().top(k)

    def top_order(self, k: int) -> CsrTable:
        """The k items that come after each item most often and closest, with O[i, j]; (value descending, id).

        Raises ValueError when k exceeds what was kept at construction.
        """
        return self.order.top(self._kept(k))

    def top_cooccurrence(self, k: int) -> CountTable:
        """The k items that are closest to each item, with C[i, j]; (closeness descending, id).

        Raises ValueError when k exceeds what was kept at construction.
        """
        return self.cooccurrence.top(self._kept(k))

    def _kept(self, k: int) -> int:
        if k > self.memory_top:
            raise ValueError(f"counts were kept for the top {self.memory_top} of each item, {k} were asked for")
        return k
