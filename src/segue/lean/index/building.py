"""How an index is learned: from the vectors of all items, and those of some sessions."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

import numpy as np
import numpy.typing as npt

from segue.data.arrays import FloatArray
from segue.lean.index.lists import library, turned
from segue.lean.item_vectors import ItemVectors
from segue.lean.model import Floats

_POINTS = 64
"""Items per list that its centre is the mean of."""
_ROUNDS = 8
_BLOCK = 65_536
_LEAST = 1e-6
"""Least share of the mean square of session vectors that a direction counts with."""


def lists_for(n_items: int) -> int:
    """Number of lists: about twice the square root, so that centres and lists take about as long to look through."""
    return max(1, min(n_items, round(2 * sqrt(n_items))))


def scale_of(sessions: Floats) -> Floats:
    """M^½ with M the mean of v vᵀ over session vectors [sessions, coordinates]."""
    coordinates = sessions.shape[1]
    moment = sessions.T.astype(np.float64) @ sessions / len(sessions)
    moment += max(_LEAST * np.trace(moment) / coordinates, _LEAST) * np.eye(coordinates)
    values, directions = np.linalg.eigh(moment)
    return np.asarray((directions * np.sqrt(values)) @ directions.T, dtype=np.float32)


def cluster(vectors: ItemVectors, scale: Floats, random: np.random.Generator) -> tuple[Floats, npt.NDArray[np.int32]]:
    """Centres of the lists [lists, coordinates], by k-means, and the list of each item, int32 [items]."""
    faiss, coordinates, lists = library(), scale.shape[1], lists_for(len(vectors))
    chosen = random.choice(len(vectors), min(len(vectors), _POINTS * lists), replace=False)
    means = faiss.Kmeans(
        turned(vectors[chosen[:1]], scale).shape[1], lists, niter=_ROUNDS, seed=int(random.integers(2**31)),
        min_points_per_centroid=1, max_points_per_centroid=_POINTS,
    )  # fmt: skip
    means.train(turned(vectors[np.sort(chosen)], scale))
    list_of = np.empty(len(vectors), dtype=np.int32)
    for first in range(0, len(vectors), _BLOCK):
        block = slice(first, first + _BLOCK)
        list_of[block] = means.index.search(turned(vectors[block], scale), 1)[1][:, 0]
    return np.ascontiguousarray(means.centroids[:, :coordinates]), list_of


def mean_share(vectors: ItemVectors, sessions: Iterable[Floats]) -> FloatArray:
    """Mean share of the softmax of each item, [items], over blocks of session vectors."""
    total, count = np.zeros(len(vectors)), 0
    for block in sessions:
        scores = vectors.product(block)
        for row in scores:
            np.exp(row - row.max(), out=row)
            total += row / row.sum(dtype=np.float64)
        count += len(block)
    return total / count
