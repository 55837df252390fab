"""Arithmetic on flat numpy arrays that several rooms share; :mod:`segue.data.tensors` has the same for torch.

This module and the corpus do without torch, so that a preparation does not load it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

PAIRS_PER_BLOCK = 4_000_000
"""Bound on the pairs of items that are formed at a time; each takes 50 to 100 bytes while it is sorted or counted."""


def offsets_of(lengths: npt.NDArray[Any]) -> IntArray:
    """Running sum with a leading zero, [n] → [n + 1]."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def spans(start: IntArray, length: IntArray) -> tuple[IntArray, IntArray]:
    """Expand slices: the positions start[i] .. start[i] + length[i] - 1 of every i, and i for each; both flat."""
    owner = np.repeat(np.arange(len(start)), length)
    return np.arange(len(owner)) + (start - np.cumsum(length) + length)[owner], owner


def blocks(sizes: npt.NDArray[Any], bound: int) -> Iterator[slice]:
    """Consecutive groups of elements whose sizes sum to at most `bound`; an element above the bound is alone."""
    until = offsets_of(sizes)
    first = 0
    while first < len(sizes):
        last = int(np.searchsorted(until, until[first] + bound, side="right")) - 1
        last = max(last, first + 1)
        yield slice(first, last)
        first = last
