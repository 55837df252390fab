"""The counts of the sessions since training, and both together: those of train, and those since."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from segue.contract.memory_sources import PAIR_TABLES
from segue.data.arrays import IntArray
from segue.lean.live.pairs import pairs_of
from segue.lean.live.train import Kept, Row, TrainRows

_KEPT = 1_000_000
"""Entries of rows of both that are kept as they were added up."""


class Overlay:
    """Counts of live sessions over those of train, which it does not change.

    Attributes:
        support: sessions of both that hold each item, int64 [items]; it grows with new items.
        degree: Σ_j C[i, j] of each item, as `support`.
        events: live events of each item.
        before: O read from the item that comes later, of live sessions alone: item → items before it.
    """

    def __init__(self, train: TrainRows, support: IntArray, degree: IntArray) -> None:
        self._train = train
        self.support, self.degree = support.copy(), degree.copy()
        self.events: Counter[int] = Counter()
        self.before: dict[int, Counter[int]] = defaultdict(Counter)
        self._rows: dict[str, dict[int, Counter[int]]] = {table: defaultdict(Counter) for table in PAIR_TABLES}
        self._sums = Kept(_KEPT)

    def add(self, items: Sequence[int], first: int = 0) -> None:
        """Count the events of a session from place `first` on; those before it were counted."""
        self._change(items, first, 1)

    def take_out(self, items: Sequence[int]) -> None:
        """Take a session out of the counts that it was added to."""
        self._change(items, 0, -1)

    def live(self, table: str, item: int) -> Counter[int]:
        """What live sessions alone have added to a row."""
        return self._rows[table].get(item, Counter())

    def row(self, table: str, item: int) -> Row:
        """The whole row of an item, train and live sessions together."""
        added = self._rows[table].get(item)
        if not added:
            return self._train.row(table, item)
        found = self._sums.get(table, item)
        return found if found is not None else self._sums.put(table, item, summed(self._train.row(table, item), added))

    def _change(self, items: Sequence[int], first: int, sign: int) -> None:
        self._make_room(max(items, default=-1) + 1)
        for table, row, item, weight in pairs_of(items, first):
            _count(self._rows[table][row], item, sign * weight)
            self._sums.drop(table, row)
            if table == "basket":
                self.degree[row] += sign * weight
            if table == "order":
                _count(self.before[item], row, sign * weight)
        for item in set(items[first:]) - set(items[:first]):
            self.support[item] += sign
        for item in items[first:]:
            _count(self.events, item, sign)

    def _make_room(self, n_items: int) -> None:
        if n_items > len(self.support):
            more = np.zeros(max(n_items - len(self.support), 256), dtype=np.int64)
            self.support, self.degree = (np.concatenate([each, more]) for each in (self.support, self.degree))


def summed(row: Row, added: Counter[int], sign: int = 1) -> Row:
    """A row with counts added to it, or with `sign` -1 taken out; what is left with nothing goes."""
    more = np.array(list(added.items()), dtype=np.int64).reshape(-1, 2)
    items, place = np.unique(np.concatenate([row[0], more[:, 0]]), return_inverse=True)
    counts = np.zeros(len(items), dtype=np.int64)
    np.add.at(counts, place, np.concatenate([row[1], sign * more[:, 1]]))
    left = counts > 0
    return items[left], counts[left]


def _count(counter: Counter[int], item: int, weight: int) -> None:
    counter[item] += weight
    if not counter[item]:
        del counter[item]
