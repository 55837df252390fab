"""Reciprocals 1 / |N(s)| of eq. (1) as whole numbers, so that sums of them are exact and equal sums are equal."""

from __future__ import annotations

import math
from collections.abc import Iterable

_LARGEST_SUM = 2**62
"""Bound on a sum over all sessions, well inside signed 64-bit numbers."""


def scale_of_reciprocals(sizes: Iterable[int], n_sessions: int) -> int:
    """The scale by which 1 / n becomes the whole number scale // n, for sessions of these numbers of distinct items.

    It is a multiple of every size while sums over `n_sessions` sessions stay below 2^62; the smaller sizes come first.
    The sizes up to 20 always fit, since their least common multiple is 232,792,560. Where a larger size does not fit,
    its reciprocals are rounded down, each by less than 1 / scale, and the scale is made as large as it can be.
    """
    largest = _LARGEST_SUM // max(n_sessions, 1)
    scale, exact = 1, True
    for size in sorted(sizes):
        multiple = math.lcm(scale, size)
        exact &= multiple <= largest
        scale = multiple if multiple <= largest else scale
    return scale if exact else scale * 2 ** int(math.log2(largest // scale))
