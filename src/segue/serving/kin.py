"""Trained items that are like a new one by their attributes, as long as nothing is beside it in any session."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa

from segue.data.arrays import IntArray
from segue.lean.model import Floats
from segue.serving.vocabulary import Vocabulary
from segue.settings import Settings


class Kin:
    """What an items file says of items that training has not seen.

    Args:
        items: ``item_id``, ``name`` where there is one, and attributes; trained items and new ones.
        known: the trained items.

    Attributes:
        names: id of a new item → its name, where it has one.
    """

    def __init__(self, items: pa.Table, known: Vocabulary) -> None:
        ids = items.column("item_id").to_pylist()
        self._holders: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._values: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self.names: dict[str, str] = {}
        for column in items.column_names[1:]:
            for item, value in zip(ids, items.column(column).to_pylist(), strict=True):
                number = known.number(item)
                if value is None:
                    continue
                if column == "name":
                    if number is None:  # of a trained item the model has the name
                        self.names[item] = value
                elif number is None:
                    self._values[item].append((column, value))
                else:
                    self._holders[column, value].append(number)

    def values(self, item: str) -> dict[str, str]:
        """Attribute → value of a new item."""
        return dict(self._values.get(item, ()))

    def of(self, item: str) -> tuple[IntArray, Floats]:
        """The trained items that share an attribute's value with a new one: numbers, and weights that sum to 1.

        Each attribute weighs the same, and within it each item. Without any, both are empty.
        """
        groups = [self._holders[value] for value in self._values.get(item, ()) if value in self._holders]
        rows = np.array([number for group in groups for number in group], dtype=np.int64)
        weights = [1 / len(groups) / len(group) for group in groups for _ in group]
        return rows, np.array(weights, dtype=np.float32)


def read_items(path: Path, settings: Settings) -> pa.Table:
    """An items file as ``segue fit --items`` reads it. Raises LogError where it cannot be read."""
    from segue.data import engine  # DuckDB takes long to import
    from segue.data.log.attributes import read_attributes

    with tempfile.TemporaryDirectory(prefix="segue-items-") as scratch:
        connection = engine.connect(settings.preparation, Path(scratch))
        try:
            return read_attributes(connection, str(path), "item_id", settings.csv)
        finally:
            connection.close()
