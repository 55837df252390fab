"""Filters on the attributes of items: which items meet all conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segue.server.bodies import Condition
from segue.server.problems import Refusal

_IDS = ("item_id", "name")


class Attributes:
    """The attributes of a model's items.

    Args:
        items: the items table of the model; every column but id and name is an attribute.
    """

    def __init__(self, items: pa.Table) -> None:
        self.names = [name for name in items.column_names if name not in _IDS]
        self._columns = {name: _Column(items.column(name)) for name in self.names}
        self._n_items = items.num_rows

    def of(self, item: int) -> dict[str, str]:
        """Attribute → value of one item, where it has one."""
        values = {name: column.texts[item] for name, column in self._columns.items()}
        return {name: value for name, value in values.items() if value is not None}

    def matching(self, conditions: Mapping[str, Condition]) -> npt.NDArray[np.bool_]:
        """Whether each item meets all conditions. Raises Refusal for an attribute that the items do not have."""
        eligible = np.ones(self._n_items, dtype=np.bool_)
        for name, condition in conditions.items():
            column = self._columns.get(name)
            if column is None:
                known = ", ".join(self.names) or "none, since the model was trained without an items file"
                raise Refusal(422, f"filter: the items have no attribute '{name[:100]}'; attributes are: {known}")
            eligible &= column.meets(condition)
        return eligible

    def doubts(self, conditions: Mapping[str, Condition]) -> list[str]:
        """What has to be said of conditions that no item can meet."""
        return [
            f"filter: '{name}' has no number among its values, so no item is less or greater"
            for name, condition in conditions.items()
            if not (condition.less is condition.greater is None or self._columns[name].has_numbers)
        ]


class _Column:
    """The values of one attribute: as text, and as numbers where they are numbers."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self.texts: list[str | None] = [None if v is None else str(v) for v in column.to_pylist()]

    @cached_property
    def _coded(self) -> tuple[npt.NDArray[np.int64], list[str | None]]:
        """For each item the number of its value, and the values."""
        values: dict[str | None, int] = {}
        codes = [values.setdefault(text, len(values)) for text in self.texts]
        return np.array(codes, dtype=np.int64), list(values)

    @cached_property
    def has_numbers(self) -> bool:
        """Whether any value is a number."""
        return any(value is not None and not math.isnan(_number(value)) for value in self._coded[1])

    def meets(self, condition: Condition) -> npt.NDArray[np.bool_]:
        """Whether each item meets a condition. It is tried on the values, of which there are few, not on the items."""
        codes, values = self._coded
        return np.array([_meets(value, condition) for value in values], dtype=np.bool_)[codes]


def _meets(text: str | None, condition: Condition) -> bool:
    if text is None:
        return condition.model_fields_set == {"not_in"}
    number = _number(text)
    return (
        (condition.equals is None or _same(text, number, condition.equals))
        and (condition.in_ is None or any(_same(text, number, value) for value in condition.in_))
        and (condition.not_in is None or not any(_same(text, number, value) for value in condition.not_in))
        and (condition.less is None or number < condition.less)
        and (condition.greater is None or number > condition.greater)
    )


def _same(text: str, number: float, value: str | float) -> bool:
    return text == value if isinstance(value, str) else number == value


def _number(text: str) -> float:
    """The number that a text is; NaN, which no condition on numbers holds for, where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
