"""The text of an id: the same for a value of Python as for a value in a column that is read.

Ids are text throughout. ``tabular.as_text`` is this rule for whole columns, in SQL; the two agree on every value that
a log can hold, so that the ids of a frame that a model was fitted on are known when they are asked for.
"""

from __future__ import annotations

from decimal import Decimal
from numbers import Integral
from typing import Any

import numpy as np
import pyarrow as pa

_LARGEST_WHOLE = 1e18
"""Floats from here on are written with an exponent: they are beyond what an integer of 64 bits holds."""


def id_text(value: Any) -> str | None:
    """The text of an id; None where the value is missing: None, NaN, NaT, NA, or the empty text.

    Whole numbers are written without a fraction, also where they are floats or decimals (12.0 → "12"): frames turn
    integers into floats where one is missing. Bytes are UTF-8. Any other value is written as ``str`` writes it.
    """
    if isinstance(value, pa.Scalar):
        value = value.as_py()
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, float | np.floating | Decimal):
        return _of_fraction(value)
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace") or None
    return str(value) or None


def _of_fraction(value: float | np.floating[Any] | Decimal) -> str | None:
    """The text of a number that may have a fraction; None for not-a-number."""
    if value.is_nan() if isinstance(value, Decimal) else np.isnan(value):
        return None
    in_reach = value.is_finite() if isinstance(value, Decimal) else abs(float(value)) < _LARGEST_WHOLE
    if in_reach and value == int(value):
        return str(int(value))
    if isinstance(value, Decimal):
        return f"{value:f}".rstrip("0")
    return str(float(str(value)))  # by way of its text: the digits of a float32, without those of its double
