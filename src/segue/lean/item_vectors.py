"""The vectors that the scores of all items are products with, laid out for the products of one request or of a few."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from segue.artifact.arrays import Form, StoredArrays
from segue.data.arrays import IntArray
from segue.lean.model import Floats

MOST_COPIED = 250_000
"""Items up to which the vectors are copied in blocks, which a product reads fastest. For more the copy would take a
second, and for a million half a gigabyte per process; the product takes half as long again without it."""
_BLOCK = 32
"""Items whose copied vectors lie together. A product of a few rows with all items at once makes BLAS copy all items
first; products this small are formed without a copy. See docs/decisions/0019."""
_TOGETHER = 4
"""Vectors from which on, without a copy, a product of parts of the table is faster than a product per vector."""
_PART = 4096
"""Items of such a part."""


class ItemVectors:
    """P⁰, and log share as a further coordinate: a table [items, coordinates].

    Args:
        embedding: P⁰ as it lies in the model's file, [items, d]; None without embeddings.
        log_share: [items]; None where popularity is no term.
        most_copied: items up to which the vectors are copied.
    """

    def __init__(self, embedding: Floats | None, log_share: Floats | None, *, most_copied: int = MOST_COPIED) -> None:
        self._embedding, self._log_share = embedding, log_share
        columns = [] if embedding is None else [embedding]
        columns += [] if log_share is None else [log_share[:, None]]
        self.shape: tuple[int, int] = (len(columns[0]), sum(part.shape[1] for part in columns))
        self.dtype = np.dtype(np.float32)
        self._copied = _Blocks(columns) if len(self) <= most_copied else None

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
        return self._copied.product(vectors) if self._copied is not None else self._by_rows(vectors)

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
            for first in range(0, len(self), _PART):
                part = slice(first, first + _PART)
                total[:, part] = (self._embedding[part] @ own.T).T
        if self._log_share is not None:
            for row, by in zip(total, weight, strict=True):
                row += by * self._log_share
        return total


class _Blocks:
    """Copied vectors, [blocks, coordinates, items of a block].

    Args:
        columns: coordinates of all items, [items, some] each; the vectors are those side by side.
    """

    def __init__(self, columns: list[Floats]) -> None:
        self._n_items = len(columns[0])
        self._full, self._rest = divmod(self._n_items, _BLOCK)
        coordinates = sum(part.shape[1] for part in columns)
        self._blocks = np.zeros((self._full + (self._rest > 0), coordinates, _BLOCK), dtype=np.float32)
        by_item = self._blocks.transpose(0, 2, 1)
        first = 0
        for part in columns:
            last, in_blocks = first + part.shape[1], self._full * _BLOCK
            by_item[: self._full, :, first:last] = part[:in_blocks].reshape(self._full, _BLOCK, part.shape[1])
            by_item[self._full :, : self._rest, first:last] = part[in_blocks:]
            first = last

    def product(self, vectors: Floats) -> Floats:
        """The products of some vectors [requests, coordinates] with all of these, [requests, items]."""
        found = np.empty((len(vectors), self._n_items), dtype=np.float32)
        in_blocks = found[:, : self._full * _BLOCK].reshape(len(vectors), self._full, _BLOCK)
        np.matmul(vectors, self._blocks[: self._full], out=in_blocks.transpose(1, 0, 2))
        if self._rest:
            np.matmul(vectors, self._blocks[-1, :, : self._rest], out=found[:, self._full * _BLOCK :])
        return found
