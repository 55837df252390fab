"""The best of many scores; equal scores stand in the order of their items."""

from __future__ import annotations

import numpy as np

from segue.data.arrays import IntArray
from segue.lean.model import Floats

_ROWS = 64
"""Scores of which only the best is looked at first: those of one column, where all stand in so many rows."""


def best(scores: Floats, k: int) -> IntArray:
    """Numbers of the k largest of `scores` [items], best first; of all items where there are no more.

    The k-th largest of the columns' maxima is a bound that at least k scores reach and few others do: so nearly all
    scores are read twice and not sorted. The maxima of columns are formed many at a time, those of rows one by one.
    """
    columns = len(scores) // _ROWS
    if columns <= k:
        return np.argsort(-scores, kind="stable")[:k]
    tops = scores[: columns * _ROWS].reshape(_ROWS, columns).max(0)
    reached = np.flatnonzero(scores >= np.partition(tops, columns - k)[columns - k])
    return np.asarray(reached[np.argsort(-scores[reached], kind="stable")[:k]])
