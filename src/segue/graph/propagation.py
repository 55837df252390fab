"""Eq. (4): the mean over each node's neighbours, without a message per edge.

An edge is read, multiplied and added inside ``embedding_bag``; no tensor of shape [edges, dim] exists in the forward
or the backward pass. The gradient of a mean over rows is a weighted sum over columns, so the backward pass is the
same kernel on the transposed rows: no atomic additions, hence the same bits on every run. On CUDA the same operator
runs its own kernel (one thread per row and feature, a loop over the row's edges), with the same memory and determinism.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

from segue.data.tensors import offsets_of, spans


@dataclass(frozen=True)
class Csr:
    """Neighbour lists: row r listens to the nodes ``indices[offsets[r]:offsets[r + 1]]``.

    Shapes: offsets int64 [rows + 1]; indices int64 [edges], each below `n_columns`.
    """

    offsets: Tensor
    indices: Tensor
    n_columns: int

    @classmethod
    def from_pairs(cls, rows: Tensor, columns: Tensor, n_rows: int, n_columns: int, *, parallel: bool = False) -> Csr:
        """Neighbour lists from (row, column) pairs in any order.

        A repeated pair counts once (set semantics of eq. 4), or, with `parallel` edges, as often as it occurs."""
        keys = rows * n_columns + columns
        keys = keys.sort().values if parallel else torch.unique(keys)
        lengths = torch.bincount(keys // n_columns, minlength=n_rows)
        return cls(offsets_of(lengths), keys % n_columns, n_columns)

    @property
    def n_rows(self) -> int:
        """Number of nodes that listen."""
        return len(self.offsets) - 1

    @property
    def n_edges(self) -> int:
        """Number of entries in all rows."""
        return len(self.indices)

    @cached_property
    def transposed(self) -> Csr:
        """Transposed lists, column → rows; computed once, so the whole graph keeps them from batch to batch."""
        owner = torch.repeat_interleave(self.offsets.diff(), output_size=self.n_edges)
        order = torch.argsort(self.indices, stable=True)
        lengths = torch.bincount(self.indices, minlength=self.n_columns)
        return Csr(offsets_of(lengths), owner[order], self.n_rows)

    def select(self, rows: Tensor) -> Csr:
        """Chosen rows, in the given order; columns keep their numbers."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        positions, _ = csr_rows(self.offsets, rows)
        return Csr(offsets_of(lengths), self.indices[positions], self.n_columns)

    def relabelled(self, number: Tensor, n_columns: int) -> Csr:
        """Copy with renumbered columns: column c becomes ``number[c]``."""
        return Csr(self.offsets, number[self.indices], n_columns)

    def beneath(self, above: Csr) -> Csr:
        """Rows of `above`, followed by these rows."""
        offsets = torch.cat([above.offsets[:-1], self.offsets + above.n_edges])
        return Csr(offsets, torch.cat([above.indices, self.indices]), self.n_columns)

    def to(self, device: torch.device | str) -> Csr:
        """Copy of the lists on another device."""
        return Csr(self.offsets.to(device), self.indices.to(device), self.n_columns)


def csr_rows(offsets: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Expand chosen rows of a CSR.

    Args:
        offsets: int64 [all rows + 1]. rows: int64 [chosen], repeats allowed.

    Returns:
        positions: int64 [entries], positions of the entries of the chosen rows, row by row.
        owner: int64 [entries], the chosen row (0..chosen - 1) that each entry belongs to.
    """
    return spans(offsets[rows], offsets[rows + 1] - offsets[rows])


def neighbour_mean(table: Tensor, csr: Csr) -> Tensor:
    """Unweighted mean of each row's neighbours, eq. (4); a row without neighbours gives zeros.

    Args:
        table: floating point [csr.n_columns, dim]. csr: neighbour lists on the same device.

    Returns:
        [csr.n_rows, dim], differentiable once with respect to `table`.
    """
    mean: Tensor = _NeighbourMean.apply(table, csr)  # type: ignore[no-untyped-call]
    return mean


class _NeighbourMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, csr: Csr) -> Tensor:
        ctx.csr = csr
        return _row_sums(table, csr) * _share(csr, table.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        csr: Csr = ctx.csr
        return _row_sums(gradient * _share(csr, gradient.dtype), csr.transposed), None


def _share(csr: Csr, dtype: torch.dtype) -> Tensor:
    """Share of each neighbour, 1 / |N(row)|, [rows, 1]."""
    return csr.offsets.diff().clamp(min=1).to(dtype).reciprocal().unsqueeze(1)


def _row_sums(table: Tensor, csr: Csr) -> Tensor:
    """Sum of each row's neighbours, [rows, dim].

    Means are formed by scaling rows, not edges: this needs no weight per edge and is never slower. `detach` selects the
    inference kernel, which skips the bookkeeping of the operator's own backward pass.
    """
    if csr.n_edges == 0:
        return table.new_zeros(csr.n_rows, table.shape[1])
    return embedding_bag(csr.indices, table.detach(), csr.offsets, mode="sum", include_last_offset=True)
