"""Stored sparse rows of an item-to-item matrix; see :class:`segue.nn.sparse_rows.SparseRows`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from segue.artifact.arrays import Form, StoredArrays, check_lists
from segue.data.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class SparseRows:
    """Row i holds ``values[offsets[i] : offsets[i + 1]]`` in the columns `items`."""

    offsets: IntArray
    items: npt.NDArray[np.int32]
    values: FloatArray

    @classmethod
    def read(cls, model: StoredArrays, n_items: int) -> Self:
        """The rows [items, items] that a model stored."""
        forms = {
            "offsets": Form("int64", (n_items + 1,)),
            "items": Form("int32", (None,), 0, n_items - 1),
            "values": Form("float64", (None,)),
        }
        arrays = model.read_all(forms)
        check_lists(arrays, *forms)
        return cls(**arrays)

    def row(self, number: int) -> tuple[npt.NDArray[np.int32], FloatArray]:
        """Columns and values of one row."""
        cells = slice(self.offsets[number], self.offsets[number + 1])
        return self.items[cells], self.values[cells]

    def add_to(self, scores: FloatArray, rows: IntArray, weights: FloatArray) -> None:
        """Add rows in place, for every i: ``scores += weights[i] * self[rows[i]]``; scores [items]."""
        for number, weight in zip(rows.tolist(), weights.tolist(), strict=True):
            if weight:
                items, values = self.row(number)
                scores[items] += weight * values

    def block(self, rows: IntArray, items: IntArray) -> FloatArray:
        """Dense cells [rows, items] of the named rows and columns."""
        dense = np.zeros((len(rows), len(items)))
        for place, number in enumerate(rows.tolist()):
            columns, values = self.row(number)
            column, cell = (items[:, None] == columns).nonzero()
            dense[place, column] = values[cell]
        return dense
