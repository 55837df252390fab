"""The quantities of settings, as types that check themselves: durations, sizes, shares, counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

SECOND = 1_000
HOUR = 3_600_000
DAY = 24 * HOUR
"""Milliseconds per day."""
_UNITS = {"ms": 1, "s": SECOND, "min": 60_000, "h": HOUR, "d": DAY}
_SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_LARGEST_QUANTITY = 10**15
"""Largest quantity in its smallest unit: thirty thousand years in ms, a thousand TB in bytes. Sums of a few of these
are exact in float64 and int64."""
_SMALLEST_SHARE = 1e-9
"""Smallest share: sessions are counted in exact fractions with denominators up to a billion."""


def milliseconds(text: str) -> int:
    """``"8h"`` → 28,800,000. Units: ms, s, min, h, d. Raises ValueError otherwise."""
    return int(_quantity(text, _UNITS, "a duration such as '30min' or '8h'"))


def size_in_bytes(text: str) -> int:
    """``"4GiB"`` → 4,294,967,296. Raises ValueError otherwise."""
    return int(_quantity(text, _SIZES, "a size such as '4GiB'"))


def _quantity(text: str, units: Mapping[str, int], wanted: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", text)
    if not match or match[2] not in units or float(match[1]) <= 0:
        raise ValueError(f"expected {wanted} (units {', '.join(units)})")
    amount = float(match[1]) * units[match[2]]
    smallest = next(iter(units))
    if not 1 <= amount <= _LARGEST_QUANTITY:
        raise ValueError(f"expected {wanted}, from 1{smallest} to {_LARGEST_QUANTITY:.0e}{smallest}")
    return amount


def _checked(convert: Callable[[str], int]) -> AfterValidator:
    def check(text: str) -> str:
        convert(text)
        return text

    return AfterValidator(check)


def _share(value: float) -> float:
    if not _SMALLEST_SHARE <= value <= 1 - _SMALLEST_SHARE:
        raise ValueError(f"a share must lie between {_SMALLEST_SHARE:g} and {1 - _SMALLEST_SHARE:.9f}")
    return value


@dataclass(frozen=True)
class Words:
    """The values that a type allows, in words for the settings reference, where its Python type does not say them."""

    text: str


Duration = Annotated[str, _checked(milliseconds), Words(f"a duration such as 30min or 8h (units {', '.join(_UNITS)})")]
"""Length of time as text; :func:`milliseconds` converts it."""
Size = Annotated[str, _checked(size_in_bytes), Words(f"a size such as 4GiB (units {', '.join(_SIZES)})")]
"""Amount of memory as text; :func:`size_in_bytes` converts it."""
Fraction = Annotated[float, Field(gt=0.0, lt=1.0), AfterValidator(_share)]
"""Share of a whole, strictly between 0 and 1."""
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""Number of events, sessions, users or items."""
Places = Annotated[float, Field(ge=1e-3, le=1e6)]
"""Number of positions over which a weight falls by e; at the upper bound all positions count alike."""
Neighbours = Annotated[int, Field(ge=1, le=10_000)]
"""Number of entries kept per item. A larger one would be the whole catalogue, quadratic in memory."""
