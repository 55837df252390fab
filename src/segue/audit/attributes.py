"""Attributes of items and users that tell what happened later.

Where an attribute comes from is not written in a corpus. What can be seen is whether its values are steps of a figure
that only later events have: how often an item or user occurs in validation and test, or when last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segue.audit.finding import Finding
from segue.audit.parts import Parts, owners
from segue.data.arrays import FloatArray, IntArray
from segue.data.corpus import Part, Sessions

_LEAST_ROWS = 50
"""Rows with a value that a column needs: fewer could be in the order of a figure by chance."""
_LEAST_PER_VALUE = 5
"""Rows that the smaller of two groups of values needs, for the same reason."""
_LEAST_NUMBERS = 10
"""Different numbers that count as an order."""
_LATER = (Part.VALIDATION, Part.TEST)


def attributes(parts: Parts) -> Finding:
    """No attribute is a step function of a figure of later events without being one of the same figure of train."""
    tables = {"item": parts.any.items, "user": parts.any.users}
    columns = [(kind, name) for kind, table in tables.items() for name in table.column_names
               if name not in (f"{kind}_id", "name", "known")]  # fmt: skip
    checked = "whether an attribute's values follow from the number or the times of an item's or user's later events"
    if not columns:
        return Finding("attributes", checked, "clean", "items and users have no attributes")
    told, small = [], []
    for kind, name in columns:
        values, rows = _values(tables[kind].column(name))
        if len(rows) < _LEAST_ROWS:
            small.append(f"{kind}.{name}")
            continue
        told += [f"{kind}.{name} follows from {what}" for what in _followed(parts, kind, values, rows)]
    if told:
        return Finding("attributes", checked, "leak", "; ".join(told), {"columns": len(columns)})
    if len(small) == len(columns):
        return Finding(
            "attributes", checked, "cannot",
            f"fewer than {_LEAST_ROWS} rows have a value of {', '.join(small)}: too few to tell an order from chance",
        )  # fmt: skip
    return Finding("attributes", checked, "clean", f"none of {len(columns):,} columns does", {"columns": len(columns)})


def _followed(parts: Parts, kind: str, values: npt.NDArray[Any], rows: IntArray) -> Iterator[str]:
    known = _figures([parts.train], kind, parts)
    for which, chosen in (("later events", _LATER), ("all events, later ones included", tuple(Part))):
        for figure, later in _figures([parts.of(part) for part in chosen], kind, parts).items():
            if steps(values, later[rows]) and not steps(values, known[figure][rows]):
                yield f"the {figure} of {which}"


def _figures(sessions: list[Sessions], kind: str, parts: Parts) -> Mapping[str, FloatArray]:
    """Name of a figure → its value for every item or user; -inf for the time of one that does not occur."""
    size = parts.any.n_items if kind == "item" else len(parts.any.users)
    keys = np.concatenate([own.items if kind == "item" else owners(own) for own in sessions])
    times = np.concatenate([own.times for own in sessions])
    last = np.full(size, -np.inf)
    np.maximum.at(last, keys, times)
    return {"number": np.bincount(keys, minlength=size).astype(np.float64), "last time": last}


def steps(values: npt.NDArray[Any], figure: FloatArray) -> bool:
    """Whether equal figures have equal values, and the values follow the figure: as buckets of it, where at least two
    are held by several rows each, or as ten or more numbers that rise or fall with it.
    """
    order = np.lexsort((values, figure))
    value, number = values[order], figure[order]
    changes = np.flatnonzero(value[1:] != value[:-1])
    if (number[changes] == number[changes + 1]).any():
        return False
    if np.issubdtype(values.dtype, np.number) and len(changes) + 1 >= _LEAST_NUMBERS:
        rises = value[changes + 1] > value[changes]
        return bool(rises.all() or not rises.any())
    runs = np.diff(np.concatenate([[-1], changes, [len(value) - 1]]))
    each_in_one_run = len(runs) == len(np.unique(value))
    return bool(each_in_one_run and (runs >= _LEAST_PER_VALUE).sum() >= 2)


def _values(column: pa.ChunkedArray) -> tuple[npt.NDArray[Any], IntArray]:
    """The values of a column where it has any, as numbers if all of them are, and the rows that have one."""
    texts = column.to_pylist()
    rows = np.array([row for row, text in enumerate(texts) if text is not None], dtype=np.int64)
    found = np.array([text for text in texts if text is not None], dtype=np.str_)
    try:
        numbers = found.astype(np.float64)
    except ValueError:
        return found, rows
    return (numbers if np.isfinite(numbers).all() else found), rows
