"""The counts of the train sessions, exactly and one item at a time.

A model stores the strongest companions of each item alone; with sessions added, others may become the strongest. So the
row of an item that is asked for is counted from the train sessions themselves, and kept for the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from segue.data.arrays import IntArray, offsets_of, spans
from segue.data.corpus import Sessions
from segue.graph.tables import FARTHEST, UNIT

MOST_KEPT = 4_000_000
"""Entries of rows that are kept, 16 bytes each; beyond it the rows that were counted first are given up."""

Row = tuple[IntArray, IntArray]
"""Items in ascending order, and their counts."""

EMPTY: Row = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


class Kept:
    """Rows that were formed, within a bound on their entries."""

    def __init__(self, most: int) -> None:
        self._most, self._entries = most, 0
        self._rows: dict[tuple[str, int], Row] = {}

    def get(self, table: str, item: int) -> Row | None:
        """A row, where it is kept."""
        return self._rows.get((table, item))

    def put(self, table: str, item: int, row: Row) -> Row:
        """Keep a row; returns it."""
        self.drop(table, item)
        self._rows[table, item] = row
        self._entries += len(row[0])
        while self._entries > self._most and len(self._rows) > 1:
            self.drop(*next(iter(self._rows)))
        return row

    def drop(self, table: str, item: int) -> None:
        """Give up a row that is no longer right."""
        row = self._rows.pop((table, item), None)
        self._entries -= len(row[0]) if row else 0


class TrainRows:
    """Rows of the four tables over the train sessions.

    Attributes:
        support [n_items]: sessions that hold each item.
    """

    def __init__(self, train: Sessions, n_items: int) -> None:
        self._items, self._offsets, self.n_items = train.items, train.offsets, n_items
        self._session = np.repeat(np.arange(len(train), dtype=np.int32), train.lengths)
        self._order = np.argsort(train.items, kind="stable")
        self._starts = offsets_of(np.bincount(train.items, minlength=n_items))
        self._kept = Kept(MOST_KEPT)

    def row(self, table: str, item: int) -> Row:
        """The whole row of an item; empty for an item that train does not hold."""
        if item >= self.n_items:
            return EMPTY
        found = self._kept.get(table, item)
        return found if found is not None else self._kept.put(table, item, _COUNT[table](self, item))

    def _cells(self, item: int) -> IntArray:
        """Where train holds an item."""
        return np.sort(self._order[self._starts[item] : self._starts[item + 1]])

    def _beside(self, item: int, step: int) -> IntArray:
        """The other items so many events after the item, in the same session."""
        cells = self._cells(item)
        others = cells + step
        inside = (others >= 0) & (others < len(self._items))
        cells, others = cells[inside], others[inside]
        found = self._items[others[self._session[cells] == self._session[others]]]
        return np.asarray(found[found != item], dtype=np.int64)

    def _neighbours(self, item: int, step: int) -> Row:
        return np.unique(self._beside(item, step), return_counts=True)

    def _ordered(self, item: int) -> Row:
        later = [self._beside(item, distance) for distance in range(1, FARTHEST + 1)]
        items, place = np.unique(np.concatenate(later), return_inverse=True)
        weights = np.repeat([UNIT // distance for distance in range(1, FARTHEST + 1)], [len(each) for each in later])
        counts = np.zeros(len(items), dtype=np.int64)
        np.add.at(counts, place, weights)
        return items, counts

    def _companions(self, item: int) -> Row:
        sessions = np.unique(self._session[self._cells(item)]).astype(np.int64)
        start = self._offsets[sessions]
        cells, owner = spans(start, self._offsets[sessions + 1] - start)
        held = np.unique(owner * self.n_items + self._items[cells]) % self.n_items
        return np.unique(held[held != item], return_counts=True)


_COUNT: Mapping[str, Callable[[TrainRows, int], Row]] = {
    "transition": lambda rows, item: rows._neighbours(item, 1),
    "predecessor": lambda rows, item: rows._neighbours(item, -1),
    "order": lambda rows, item: rows._ordered(item),
    "basket": lambda rows, item: rows._companions(item),
}
