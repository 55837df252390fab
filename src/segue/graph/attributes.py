"""Attribute nodes (end of section 4.2): one node per value of a categorical column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segue.data.arrays import offsets_of
from segue.data.log.attributes import categorical, check_names
from segue.graph.tables import ITEM, USER, CsrTable


@dataclass(frozen=True)
class Attribute:
    """A categorical column of items or users.

    Attributes:
        node_type: ``"item:COLUMN"`` or ``"user:COLUMN"`` (the setting with colons, a safe name for parameters).
        owner: "item" or "user".
        value: the number of each owner's value in byte order, -1 where it has none; [owners].
        n_values: number of distinct values.
    """

    node_type: str
    owner: str
    value: npt.NDArray[np.int64]
    n_values: int

    def edges(self, n_owners: int) -> dict[str, CsrTable]:
        """Edges in both directions: attribute value → owner and owner → attribute value.

        Args:
            n_owners: rows of the owner's type (users: one more than are known).
        """
        owners = np.flatnonzero(self.value >= 0)
        values = self.value[owners]
        has = np.zeros(n_owners, dtype=np.int64)
        has[owners] = 1
        by_value = np.argsort(values, kind="stable")
        ones = np.ones(len(owners), dtype=np.int64)
        return {
            f"has:{self.node_type}": CsrTable(offsets_of(has), values.astype(np.int32), ones),
            f"held_by:{self.node_type}": CsrTable.from_sorted(values[by_value], owners[by_value], ones, self.n_values),
        }


def read_attributes(
    names: tuple[str, ...], items: pa.Table | None, users: pa.Table | None, n_items: int, n_users: int
) -> list[Attribute]:
    """The columns that `graph.attributes` names, ``"item.COLUMN"`` or ``"user.COLUMN"``.

    Raises ConfigError when there is no such column, or when one is named twice.
    """
    tables = {ITEM: _categorical(items, n_items), USER: _categorical(users, n_users)}
    check_names(names, [f"{owner}.{column}" for owner, table in tables.items() for column in table])
    chosen = []
    for name in names:
        owner, _, column = name.partition(".")
        chosen.append(_number(f"{owner}:{column}", owner, tables[owner][column]))
    return chosen


def values_of(column: pa.ChunkedArray) -> pa.Array:
    """The values that are nodes, in the order of their numbers: the distinct ones in byte order, text."""
    values = pc.unique(column.combine_chunks().cast(pa.string())).drop_null()
    return values.take(pc.sort_indices(values))


def _categorical(table: pa.Table | None, rows: int) -> dict[str, pa.ChunkedArray]:
    if table is None:
        return {}
    return {name: table[name].slice(0, rows) for name in categorical(table.column_names)}


def _number(node_type: str, owner: str, column: pa.ChunkedArray) -> Attribute:
    text, values = column.combine_chunks().cast(pa.string()), values_of(column)
    number = pc.fill_null(pc.index_in(text, value_set=values, skip_nulls=True), -1)
    return Attribute(node_type, owner, np.asarray(number, dtype=np.int64), len(values))
