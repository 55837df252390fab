"""Which items occur in which sessions, as sparse matrices: their weights, and their products as dense ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from segue.data.arrays import PAIRS_PER_BLOCK, FloatArray, IntArray, blocks
from segue.data.corpus import Sessions


def incidence(
    row: IntArray, items: npt.NDArray[Any], shape: tuple[int, int], weight: FloatArray | None = None
) -> sparse.csr_array:
    """Incidence matrix [rows, items]: the sum of the weights of an item's events in a row, 1 each unless given."""
    cells = (np.ones(len(row)) if weight is None else weight, (row, items))
    matrix: sparse.csr_array = sparse.coo_array(cells, shape=shape).tocsr()
    return matrix


def of_sessions(sessions: Sessions, n_items: int, *, binary: bool) -> sparse.csr_array:
    """Incidence matrix X [sessions, items]: whether, or how often, an item occurs in a session."""
    session = np.repeat(np.arange(len(sessions)), sessions.lengths)
    matrix = incidence(session, sessions.items, (len(sessions), n_items))
    if binary:
        matrix.data[:] = 1.0
    return matrix


def add_product(total: FloatArray, left: sparse.csr_array, right: sparse.csr_array) -> None:
    """Add leftᵀ right to `total` [items, items] in place; left, right: [rows, items].

    Formed for some rows at a time, so that the sparse product never takes more room than a dense one.
    """
    pairs = np.diff(left.indptr).astype(np.int64) * np.diff(right.indptr)
    for rows in blocks(pairs, PAIRS_PER_BLOCK):
        product = (left[rows].T.tocsr() @ right[rows]).tocoo()
        total[product.row, product.col] += product.data


def normalised(matrix: sparse.csr_array) -> sparse.csr_array:
    """Every row divided by the sum of its absolute values; a row of zeros stays."""
    size = np.asarray(abs(matrix).sum(axis=1)).ravel()
    return scaled(matrix, 1 / np.where(size > 0, size, 1.0))


def scaled(matrix: sparse.csr_array, factor: FloatArray) -> sparse.csr_array:
    """Every row times its factor [rows]."""
    product: sparse.csr_array = sparse.diags_array(factor).tocsr() @ matrix
    return product


def tfidf(counts: sparse.csr_array) -> sparse.csr_array:
    """√x_is idf_s for the counts x [sessions, items], as github.com/benfred/implicit (0.7.3) weights them.

    Items are the documents and sessions the terms: idf_s = log(items) - log(1 + distinct items of s).
    """
    weighted = counts.copy()
    weighted.data = np.sqrt(weighted.data)
    return _times_idf(weighted)


def bm25(counts: sparse.csr_array, k1: float, b: float) -> sparse.csr_array:
    """x_is (k1 + 1) / (k1 (1 - b + b |x_i| / mean |x|) + x_is) idf_s for the counts x [sessions, items].

    Items are the documents, of length |x_i| = Σ_s x_is, and sessions the terms, with the idf of :func:`tfidf`; as in
    github.com/benfred/implicit (0.7.3).
    """
    total = np.asarray(counts.sum(axis=0)).ravel()
    norm = k1 * (1 - b + b * total / total.mean())
    weighted = counts.copy()
    weighted.data = counts.data * (k1 + 1) / (norm[counts.indices] + counts.data)
    return _times_idf(weighted)


def _times_idf(weighted: sparse.csr_array) -> sparse.csr_array:
    """Rows times the idf of their session; an idf below 0, of a session of nearly all items, enters squared."""
    idf = np.log(weighted.shape[1]) - np.log1p(np.diff(weighted.indptr))
    weighted = scaled(weighted, idf)
    weighted.eliminate_zeros()
    return weighted
