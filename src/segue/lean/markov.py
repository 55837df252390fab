"""Markov chains and sequential rules without torch; see :mod:`segue.models.markov`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segue.artifact.arrays import Form, StoredArrays, check_lists
from segue.data.arrays import FloatArray, IntArray
from segue.errors import RequestError
from segue.lean.model import Floats, Parts, window_length
from segue.lean.request import Asked


class LeanMarkov:
    """score(j) = T[v_l, j] + fill(j)."""

    def __init__(
        self, model: StoredArrays, derived: StoredArrays, options: Mapping[str, Any], n_items: int, n_users: int
    ) -> None:
        forms = {
            "offsets": Form("int64", (n_items + 1,)),
            "items": Form("int32", (None,), 0, n_items - 1),
            "values": Form("float64", (None,)),
            "fill": Form("float64", (n_items,)),
        }
        arrays = model.read_all(forms)
        check_lists(arrays, "offsets", "items", "values")
        self.n_items, self.n_users, self.length = n_items, n_users, window_length(options)
        self._offsets: IntArray = arrays["offsets"]
        self._items: npt.NDArray[np.int32] = arrays["items"]
        self._values: FloatArray = arrays["values"]
        self.fill: FloatArray = arrays["fill"]
        self.popularity = options.get("fill") == "popularity"

    def following(self, item: int) -> tuple[npt.NDArray[np.int32], FloatArray]:
        """The items that followed one, and how often."""
        cells = slice(self._offsets[item], self._offsets[item + 1])
        return self._items[cells], self._values[cells]

    def score(self, asked: Sequence[Asked]) -> ScoredByMarkov:
        """Score all items for each request."""
        scores = np.repeat(self.fill[None], len(asked), axis=0)
        for row, each in zip(scores, asked, strict=True):
            items, values = self.following(int(each.items[-1]))
            row[items] += values
        return ScoredByMarkov(self, asked, scores)

    def relations_to(self, item: int, sources: IntArray) -> list[str | None]:
        """No relation: the model has no graph."""
        return [None] * len(sources)

    def similar(self, item: int) -> Floats:
        """Raises RequestError: the model has no vectors."""
        raise RequestError("Markov has no item vectors: nothing is similar in it; ask a trained model")


@dataclass(frozen=True)
class ScoredByMarkov:
    """Scored requests, see :class:`segue.lean.model.Scored`."""

    model: LeanMarkov
    asked: Sequence[Asked]
    scores: Floats

    def parts(self, row: int, items: IntArray) -> Parts:
        """The transition from the last item, and the fill."""
        session = self.asked[row].items
        transition = np.zeros((len(items), len(session)))
        following, values = self.model.following(int(session[-1]))
        found, place = (items[:, None] == following).nonzero()
        transition[found, -1] = values[place]
        return Parts({"transition": transition}, base=self.model.fill[items], popularity=self.model.popularity)
