"""Reciprocals 1 / |N(s)| of eq. (1) as whole numbers, so that sums of them are exact and equal sums are equal."""

from __future__ import annotations

import math

_LARGEST_SUM = 2**62
"""Bound on a sum over all sessions, well inside signed 64-bit numbers."""


def scale_of_reciprocals(longest: int, n_sessions: int) -> int:
    """The scale by which 1 / n becomes the whole number scale // n, for n distinct items of up to `longest`.

    It is a multiple of every n while sums over `n_sessions` sessions stay below 2^62; the smaller n come first. Those
    up to 20 always fit, since their least common multiple is 232,792,560; with 100,000 sessions those up to 30 do.
    Where a larger n does not fit, its reciprocals are rounded down, each by less than 1 / scale, and the scale is made
    as large as it can be.
    """
    largest = _LARGEST_SUM // max(n_sessions, 1)
    scale, exact = 1, True
    for size in range(2, longest + 1):
        multiple = math.lcm(scale, size)
        exact &= multiple <= largest
        scale = multiple if multiple <= largest else scale
    return scale if exact else scale * 2 ** int(math.log2(largest // scale))
