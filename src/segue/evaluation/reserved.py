"""How many places of a list a share reserves: one rule for lists that are served and for those that are measured."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal


def reserved_places(share: float, k: int) -> int:
    """The places reserved among `k`: share times k, rounded to the nearest whole number, a half up.

    The share counts as it is written in decimals: 0.29 of 50 are 14.5, so 15, although the float nearest to 0.29 is
    below it. Raises ValueError for a share outside of 0 to 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies from 0 to 1, found {share}")
    return int((Decimal(str(float(share))) * k).quantize(Decimal(1), ROUND_HALF_UP))
