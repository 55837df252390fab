"""The vectors of all items, laid out for products with the vectors of one request or of a few."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from segue.data.arrays import IntArray
from segue.lean.model import Floats

_BLOCK = 32
"""Items whose vectors lie together. A product of a few rows with all items at once makes BLAS copy all items first;
products this small are formed without a copy. See docs/decisions/0019.""" ""


class ItemVectors:
    """Vectors of all items, float32 [items, coordinates], in blocks [blocks, coordinates, items of a block].

    Args:
        *columns: coordinates of all items, [items, some] each; the vectors are those side by side.
    """

    def __init__(self, *columns: Floats) -> None:
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

    @property
    def shape(self) -> tuple[int, int]:
        """Items, coordinates."""
        return self._n_items, self._blocks.shape[1]

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Type of the coordinates."""
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return self._n_items

    def __getitem__(self, items: IntArray | npt.NDArray[np.int32]) -> Floats:
        """Copies of the vectors of some items, [k, coordinates]."""
        return np.asarray(self._blocks[items // _BLOCK, :, items % _BLOCK])

    def products(self, vectors: Floats) -> Floats:
        """The product of each of some vectors [requests, coordinates] with that of every item, [requests, items]."""
        found = np.empty((len(vectors), self._n_items), dtype=self.dtype)
        in_blocks = found[:, : self._full * _BLOCK].reshape(len(vectors), self._full, _BLOCK)
        np.matmul(vectors, self._blocks[: self._full], out=in_blocks.transpose(1, 0, 2))
        if self._rest:
            np.matmul(vectors, self._blocks[-1, :, : self._rest], out=found[:, self._full * _BLOCK :])
        return found
