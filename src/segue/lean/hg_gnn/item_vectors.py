"""The vectors that the scores of all items are products with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from segue.artifact.arrays import Form, StoredArrays
from segue.data.arrays import IntArray
from segue.lean.model import Floats

MOST_COPIED = 250_000
"""Items up to which the vectors are copied coordinate by coordinate, in which order a product reads them fastest. For
more the copy would take a second, and for a million half a gigabyte per process; the product takes half as long again
without it."""

_TOGETHER = 4
"""Vectors from which on a product of blocks of the table is faster than a product per vector."""
_BLOCK = 4096
"""Items of a block."""


class ItemVectors:
    """P⁰, and log share as a further coordinate: a table [items, coordinates].

    Args:
        embedding: P⁰ as it lies in the model's file, [items, d]; None without embeddings.
        log_share: [items]; None where popularity is no term.
        most_copied: items up to which the vectors are copied.
    """

    def __init__(self, embedding: Floats | None, log_share: Floats | None, *, most_copied: int = MOST_COPIED) -> None:
        self._embedding, self._log_share = embedding, log_share
        rows = [] if embedding is None else [embedding.T]
        shares = [] if log_share is None else [log_share[None]]
        self.shape: tuple[int, int] = ((rows + shares)[0].shape[1], sum(len(part) for part in rows + shares))
        self.dtype = np.dtype(np.float32)
        small = len(self) <= most_copied
        self._copied = np.ascontiguousarray(np.concatenate(rows + shares)) if small else None

    @classmethod
    def read(cls, model: StoredArrays, n_items: int, dim: int | None, *, popularity: bool) -> ItemVectors:
        """The vectors that a model stored. dim: of P⁰; None for a model without embeddings."""
        embedding = model.read("hgnn.embedding.item", Form("float32", (n_items, dim))) if dim is not None else None
        return cls(embedding, model.read("log_share", Form("float32", (n_items,))) if popularity else None)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, items: npt.NDArray[Any] | slice) -> Floats:
        """The vectors of some items, [k, coordinates]."""
        parts = [] if self._embedding is None else [self._embedding[items]]
        parts += [] if self._log_share is None else [self._log_share[items][:, None]]
        return np.concatenate(parts, 1) if len(parts) > 1 else np.asarray(parts[0])

    def product(self, vectors: Floats) -> Floats:
        """The products of some vectors [requests, coordinates] with those of all items, [requests, items]."""
        if self._copied is not None:
            return np.asarray(vectors @ self._copied)
        return self._by_rows(vectors)

    def products(self, vector: Floats, items: IntArray) -> Floats:
        """The products of one vector [coordinates] with those of some items, [k]."""
        return np.asarray(self[items] @ vector)

    def _by_rows(self, vectors: Floats) -> Floats:
        """The products where nothing is copied: few vectors read the table one after another, many together."""
        total = np.empty((len(vectors), len(self)), dtype=self.dtype)
        dim = 0 if self._embedding is None else self._embedding.shape[1]
        own, weight = np.ascontiguousarray(vectors[:, :dim], dtype=self.dtype), vectors[:, dim:]
        if self._embedding is None:
            total.fill(0)
        elif len(own) < _TOGETHER:
            for row, vector in zip(total, own, strict=True):
                np.matmul(self._embedding, vector, out=row)
        else:
            for first in range(0, len(self), _BLOCK):
                block = slice(first, first + _BLOCK)
                total[:, block] = (self._embedding[block] @ own.T).T
        if self._log_share is not None:
            for row, by in zip(total, weight, strict=True):
                row += by * self._log_share
        return total
