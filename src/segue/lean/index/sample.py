"""An estimate of log Σ e^product over the items that nobody scores, from a fixed sample of items.

Items are drawn with unequal probabilities π: those to which sessions give more of the softmax are drawn more often, and
each item drawn counts 1 / π times, so that the sum is estimated without bias (Horvitz and Thompson 1952).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Self

import numpy as np

from segue.data.arrays import FloatArray, IntArray
from segue.lean.model import Floats

_BY_MASS = 0.8
"""Share of the sample that goes to the items by their mass of the softmax; the rest to all items alike."""
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Sample:
    """Sampled items.

    Attributes:
        items: ascending, [m]. log_weights: log(1 / π) of each, [m]. vectors: [m, coordinates].
    """

    items: IntArray
    log_weights: Floats
    vectors: Floats

    @classmethod
    def of(cls, items: IntArray, probabilities: FloatArray, vectors: Floats) -> Self:
        """A sample of items [m] that were drawn with these probabilities, with their vectors."""
        return cls(items, -np.log(probabilities).astype(np.float32), np.ascontiguousarray(vectors, dtype=np.float32))

    def log_rest(self, vector: Floats, items: IntArray) -> float:
        """Log of the sum of e^product of a vector over all items but some (ascending), estimated; -inf for nothing."""
        logs = self.vectors @ vector + self.log_weights
        if len(items):
            at = np.minimum(items.searchsorted(self.items), len(items) - 1)
            logs[items[at] == self.items] = -np.inf
        top = float(logs.max(initial=-np.inf))
        return top + log(float(np.exp(logs - top).sum())) if top > -np.inf else top


def draw(mass: FloatArray, most: int, random: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Items for a sample, ascending, and the probability of each.

    Args:
        mass: mean share of the softmax of each item, [items], which sums to 1.
        most: how many to draw; all of them where there are no more.
    """
    wanted = _BY_MASS * mass + (1 - _BY_MASS) / len(mass)
    certain = np.zeros(len(mass), dtype=np.bool_)
    while True:  # items that are drawn for certain leave their share to the others
        left = max(most - int(certain.sum()), 0) / max(float(wanted[~certain].sum()), _TINY)
        more = ~certain & (wanted * left >= 1)
        if not more.any():
            break
        certain |= more
    probability = np.where(certain, 1.0, wanted * left)
    until = np.cumsum(probability)
    points = random.random() + np.arange(int(until[-1]) + 1)
    items = np.unique(until.searchsorted(points[points < until[-1]], side="right"))
    return items, probability[items]
