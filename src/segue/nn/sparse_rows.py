"""A sparse matrix whose rows are added to the scores of events, the learned state of counting models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from segue.data.arrays import blocks
from segue.data.stored import Layout, check_arrays, check_rows
from segue.data.tensors import spans

CELLS_PER_BLOCK = 2**22
"""Bound on the values that are added at a time; each takes about 40 bytes meanwhile."""


@dataclass(frozen=True)
class SparseRows:
    """CSR as tensors: row i holds ``values[offsets[i] : offsets[i + 1]]`` in the columns `items`.

    Shapes: offsets [rows + 1] int64; items [n] int32; values [n] float64.
    """

    offsets: Tensor
    items: Tensor
    values: Tensor

    @classmethod
    def from_matrix(cls, matrix: sparse.csr_array) -> Self:
        """Rows of a scipy matrix, with columns ascending within a row."""
        matrix.sort_indices()
        return cls(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int32)),
            torch.from_numpy(matrix.data.astype(np.float64)),
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], n_items: int, **beside: Layout) -> Self:
        """Rows [items, items] from what :meth:`arrays` returned.

        Args:
            beside: the arrays that stand beside these.

        Raises ValueError when an array has another form, or there are others.
        """
        own = {
            "offsets": Layout(torch.int64, (n_items + 1,)),
            "items": Layout(torch.int32, (None,), 0, n_items - 1),
            "values": Layout(torch.float64, (None,)),
        }
        check_arrays(arrays, {**own, **beside})
        check_rows(arrays, "offsets", "items", "values")
        return cls(arrays["offsets"], arrays["items"], arrays["values"])

    def arrays(self) -> dict[str, Tensor]:
        """Everything that has to be stored, as tensors."""
        return {"offsets": self.offsets, "items": self.items, "values": self.values}

    def to(self, device: torch.device) -> Self:
        """Copy of the matrix on another device."""
        return type(self)(self.offsets.to(device), self.items.to(device), self.values.to(device))

    def add_to(self, scores: Tensor, event: Tensor, row: Tensor, weight: Tensor) -> None:
        """Add rows in place, for every i: ``scores[event[i]] += weight[i] * self[row[i]]``.

        Args:
            scores: [events, items] float64, contiguous.
            event, row, weight: [n].
        """
        start, length = self.offsets[row], self.offsets[row + 1] - self.offsets[row]
        for some in blocks(length.cpu().numpy(), CELLS_PER_BLOCK):
            cells, owner = spans(start[some], length[some])
            place = event[some][owner] * scores.shape[1] + self.items[cells]
            scores.view(-1).index_add_(0, place, self.values[cells] * weight[some][owner])

    def block(self, rows: Tensor, items: Tensor) -> Tensor:
        """Dense cells [rows, items] of the named rows and columns; duplicates are allowed."""
        n_columns = int(max(self.items.max() if len(self.items) else 0, items.max() if len(items) else 0)) + 1
        dense = torch.zeros(len(rows), n_columns, dtype=torch.float64, device=self.values.device)
        self.add_to(dense, torch.arange(len(rows), device=rows.device), rows, dense.new_ones(len(rows)))
        return dense[:, items]
