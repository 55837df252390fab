"""Vectors of items that came after training: the mean of those of the trained items beside them in live sessions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from segue.data.arrays import IntArray
from segue.lean.hg_gnn.item_vectors import ItemVectors
from segue.lean.live.overlay import Overlay
from segue.lean.model import Floats


class Grown:
    """A table of trained vectors [items, d], which stays as it is, and rows for new items behind it."""

    def __init__(self, table: Floats | ItemVectors) -> None:
        self.table = table
        self._more: Floats = np.zeros((0, table.shape[1]), dtype=table.dtype)

    @property
    def more(self) -> Floats:
        """The rows of the new items, [new, d]."""
        return self._more

    def __getitem__(self, items: npt.NDArray[Any]) -> Floats:
        trained = len(self.table)
        new = items >= trained
        if not new.any():
            return np.asarray(self.table[items])
        found = self.table[np.where(new, 0, items)]
        found[new] = self._more[items[new] - trained]
        return np.asarray(found)

    def set(self, items: IntArray, means: Mapping[int, tuple[IntArray, Floats]]) -> None:
        """Give each of some new items the weighted mean of trained rows: item → rows and weights that sum to 1."""
        missing = int(items.max()) + 1 - len(self.table) - len(self._more)
        if missing > 0:
            room = np.zeros((missing, self.table.shape[1]), dtype=self.table.dtype)
            self._more = np.concatenate([self._more, room])
        for item, (rows, weights) in means.items():
            self._more[item - len(self.table)] = weights @ self.table[rows]


def neighbours(overlay: Overlay, item: int, trained: int) -> tuple[IntArray, Floats]:
    """The trained items beside a new one in live sessions, the nearer the heavier: rows, and weights that sum to 1.

    Those up to ten events away with O of both directions; where there are none, all of its sessions. Without any, the
    rows are empty.
    """
    near = overlay.live("order", item) + overlay.before.get(item, Counter())
    for counts in (near, overlay.live("basket", item)):
        found = np.array(sorted(pair for pair in counts.items() if pair[0] < trained), dtype=np.int64).reshape(-1, 2)
        if len(found):
            weights = found[:, 1] / found[:, 1].sum()
            return found[:, 0], weights.astype(np.float32)
    return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
