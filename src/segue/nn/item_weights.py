"""Item-to-item weights in closed form: a ridge regression whose diagonal is bounded, and what is kept of it."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from segue.data.arrays import FloatArray
from segue.errors import ConfigError, CorpusError
from segue.nn.sparse_rows import SparseRows
from segue.system.limits import memory_limit

DENSE = 4
"""Matrices of items x items in float64 that are in memory at the same time while a regression is solved."""
DIGITS = 12
_CELLS_PER_BLOCK = 2**22
"""Bound on the weights that are sorted out at a time; each takes about 40 bytes."""


def check_memory(title: str, n_items: int) -> None:
    """Raise CorpusError when the dense matrices of so many items exceed the memory that this process may use."""
    needed, available = DENSE * 8 * n_items**2, memory_limit()
    if needed <= available:
        return
    most = math.isqrt(available // (DENSE * 8))
    raise CorpusError(
        f"{title} solves for all pairs of {n_items:,} items, which takes {needed:,} bytes of memory, and this process "
        f"may use {available:,}; prepare the corpus with --set filters.top_items={most}, or use a bigger machine"
    )


def bounded_ridge(gram: FloatArray, cross: FloatArray | None, reg: float, bound: float | None) -> Tensor:
    """B [items, items] that minimises Σ_r w_r ‖t_r - x_r B‖² + reg ‖B‖² subject to B_jj ≤ bound, in float64.

    With P = (G + reg I)⁻¹ the free solution is B° = P C, which is I - reg P where targets are inputs; the multipliers
    μ_j = max(B°_jj - bound, 0) / P_jj of the constraints give B = B° - P diag(μ).

    With targets that are inputs and bound 0 this is EASE (Steck 2019): there B°_jj = 1 - reg P_jj lies in [0, 1)
    and so B_jj = 0 and B_ij = -P_ij / P_jj. With another bound it is SLIS (Choi et al. 2021).

    Args:
        gram: G = Σ_r w_r x_rᵀ x_r, [items, items]; overwritten.
        cross: C = Σ_r w_r x_rᵀ t_r, [items, items]; None: targets are inputs, C = G.
        bound: largest weight of an item for itself; None: there is no bound.

    Raises ConfigError when reg is so small beside the rows that rounding hides it.
    """
    matrix = torch.from_numpy(gram)
    matrix.diagonal().add_(reg)
    factor, fails = torch.linalg.cholesky_ex(matrix)
    if fails:
        raise ConfigError(f"setting 'model.reg': {reg:g} is too small beside the rows of this corpus; set it to 10")
    inverse = torch.cholesky_inverse(factor)
    del factor
    if cross is None:
        weights = torch.mul(inverse, -reg, out=matrix)
        weights.diagonal().add_(1.0)
    else:
        weights = torch.matmul(inverse, torch.from_numpy(cross), out=matrix)
    if bound is not None:
        above = (weights.diagonal() - bound).clamp(min=0)
        bounded = torch.where(above > 0, bound, weights.diagonal())  # exactly, whatever rounding makes of it
        weights.sub_(inverse.mul_(above / inverse.diagonal()))
        weights.diagonal().copy_(bounded)
    return weights


def strongest(weights: Tensor, n_kept: int) -> SparseRows:
    """The `n_kept` weights of largest size of every row, ties by ascending column; 0: all; none that are zero.

    Rounded to 12 digits after the point, so that what is zero but for the last bit is zero.

    Args:
        weights: [items, items] float64; rounded in place.
    """
    n_items = len(weights)
    torch.round(weights, decimals=DIGITS, out=weights)
    step = max(_CELLS_PER_BLOCK // max(n_items, 1), 1)
    kept = [_kept(rows, n_kept) for rows in torch.split(weights, step)] if n_items else []
    return SparseRows.from_matrix(sparse.csr_array(sparse.vstack(kept)) if kept else sparse.csr_array((0, 0)))


def _kept(weights: Tensor, n_kept: int) -> sparse.csr_array:
    """The weights of some rows that stay."""
    size = weights.abs()
    kept = size > 0
    if 0 < n_kept < size.shape[1]:
        least = size.topk(n_kept, dim=1).values[:, -1:]
        above, tied = size > least, size == least
        kept &= above | (tied & (tied.cumsum(1) <= n_kept - above.sum(1, keepdim=True)))
    row, column = kept.nonzero(as_tuple=True)
    cells = (weights[row, column].numpy(), (row.numpy(), column.numpy().astype(np.int32)))
    return sparse.csr_array(sparse.coo_array(cells, shape=tuple(weights.shape)))
