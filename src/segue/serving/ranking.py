"""The best of many scores; equal scores stand in the order of their items."""

from __future__ import annotations

import numpy as np

from segue.data.arrays import IntArray
from segue.lean.model import Floats

_BLOCK = 64
"""Items of which only the best is looked at first."""


def best(scores: Floats, k: int) -> IntArray:
    """Numbers of the k largest of `scores` [items], best first; of all items where there are no more.

    The k-th largest of the blocks' maxima is a bound that at least k scores reach and few others do: so nearly all
    scores are read twice and not sorted.
    """
    blocks = len(scores) // _BLOCK
    if blocks <= k:
        return np.argsort(-scores, kind="stable")[:k]
    tops = scores[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(1)
    reached = np.flatnonzero(scores >= np.partition(tops, blocks - k)[blocks - k])
    return np.asarray(reached[np.argsort(-scores[reached], kind="stable")[:k]])
