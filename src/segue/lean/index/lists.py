"""Lists of items whose vectors lie together, in faiss: a search looks through the lists that lie in its direction.

The vectors are turned first, so that a distance between two items is how differently sessions score them: with M the
mean of v vᵀ over session vectors v, the mean of (v·x - v·y)² is ‖M^½ (x - y)‖². Products stay what they are, since
(M^½ x) · (M^-½ v) = x · v. In the lists each coordinate has one byte; the exact score is formed afterwards from the
vectors themselves.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from segue.data.arrays import IntArray
from segue.lean.index.plan import Plan
from segue.lean.index.sample import Sample
from segue.lean.item_vectors import ItemVectors
from segue.lean.model import Floats

LIBRARY = "faiss-cpu"
_WIDTH = 16
"""Coordinates are filled up with zeros to a multiple of this: faiss reads others one at a time."""
_BLOCK = 65_536
"""Items that are turned at a time."""


def available() -> bool:
    """Whether the library is installed."""
    return importlib.util.find_spec("faiss") is not None


def library() -> Any:
    """The library, which keeps to one thread: a worker is one of several."""
    import faiss

    faiss.omp_set_num_threads(1)
    return faiss


def turned(vectors: Floats, scale: Floats) -> Floats:
    """Vectors [n, coordinates] times a matrix, filled up to the width that the library likes."""
    coordinates = scale.shape[1]
    found = np.zeros((len(vectors), -(-coordinates // _WIDTH) * _WIDTH), dtype=np.float32)
    np.matmul(vectors, scale, out=found[:, :coordinates])
    return found


class Lists:
    """An index by a plan, see :class:`segue.lean.model.Index`.

    Attributes:
        breadth: lists that a search looks through.
    """

    def __init__(self, plan: Plan, vectors: ItemVectors) -> None:
        faiss = library()
        self.n_items, self.lists = len(vectors), len(plan.centres)
        self._inverse = np.linalg.inv(plan.scale.astype(np.float64)).astype(np.float32)
        self._sample = Sample.of(plan.sampled.astype(np.int64), plan.probability, vectors[plan.sampled])
        centres = _filled(plan.centres)
        self._centres = faiss.IndexFlatIP(centres.shape[1])
        self._centres.add(centres)
        self._index = faiss.IndexIVFScalarQuantizer(
            self._centres,
            centres.shape[1],
            self.lists,
            faiss.ScalarQuantizer.QT_8bit,
            faiss.METRIC_INNER_PRODUCT,
            False,
        )
        self._index.train(turned(vectors[_spread(self.n_items)], plan.scale))
        for first in range(0, self.n_items, _BLOCK):
            block = slice(first, first + _BLOCK)
            rows, lists = turned(vectors[block], plan.scale), plan.list_of[block].astype(np.int64)
            numbers = np.arange(first, first + len(rows))
            self._index.add_core(len(rows), *map(faiss.swig_ptr, (rows, numbers, lists)))

    @property
    def breadth(self) -> int:
        """Lists that a search looks through."""
        return int(self._index.nprobe)

    @breadth.setter
    def breadth(self, lists: int) -> None:
        self._index.nprobe = min(lists, self.lists)

    @property
    def size(self) -> int:
        """Bytes of the lists."""
        return self.n_items * (int(self._index.code_size) + 8)

    def search(self, vectors: Floats, most: int) -> IntArray:
        """For each vector [requests, coordinates] the items found, [requests, most]; -1 where there are fewer."""
        found: IntArray = self._index.search(turned(vectors, self._inverse), most)[1]
        return found

    def log_rest(self, vector: Floats, items: IntArray) -> float:
        """Log of the sum of e^product of a vector [coordinates] over all items but some (ascending), estimated."""
        return self._sample.log_rest(vector, items)


def _filled(centres: Floats) -> Floats:
    return turned(centres, np.eye(centres.shape[1], dtype=np.float32))


def _spread(n_items: int) -> IntArray:
    """Items from all over the catalogue, which tell the range of each coordinate."""
    return np.linspace(0, n_items - 1, min(n_items, _BLOCK)).astype(np.int64)
