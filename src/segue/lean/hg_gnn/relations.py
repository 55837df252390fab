"""The relations of the graph between two items, as reasons name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from segue.artifact.arrays import Form, StoredArrays, check_lists
from segue.data.arrays import IntArray

_SHOWN = ("adjacent_in", "adjacent_out", "similar")


@dataclass(frozen=True)
class Relations:
    """Neighbour lists of items by relation, in the order in which relations are named: offsets and neighbours."""

    lists: Mapping[str, tuple[IntArray, npt.NDArray[np.int32]]]

    @classmethod
    def read(cls, model: StoredArrays, n_items: int) -> Self:
        """Those relations between items that a stored model has."""
        lists = {}
        for name in _SHOWN:
            offsets, indices = f"graph.{name}/offsets", f"graph.{name}/indices"
            if offsets in model.names:
                forms = {offsets: Form("int64", (n_items + 1,)), indices: Form("int32", (None,), 0, n_items - 1)}
                arrays = model.read_all(forms)
                check_lists(arrays, offsets, indices)
                lists[name] = (arrays[offsets], arrays[indices])
        return cls(lists)

    def neighbours(self, item: int) -> dict[str, npt.NDArray[np.int32]]:
        """The items that each relation leads from to this item."""
        return {name: indices[offsets[item] : offsets[item + 1]] for name, (offsets, indices) in self.lists.items()}

    def of(self, sources: IntArray, item: int) -> list[str | None]:
        """The first relation that leads from each of `sources` to the item, if any does."""
        known = {name: set(neighbours.tolist()) for name, neighbours in self.neighbours(item).items()}
        return [
            next((name for name, neighbours in known.items() if source in neighbours), None)
            for source in sources.tolist()
        ]
