"""Markov chains and sequential rules without torch; see :mod:`segue.models.markov`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segue.artifact.arrays import Form, StoredArrays
from segue.data.arrays import FloatArray, IntArray
from segue.errors import RequestError
from segue.lean.model import Floats, Parts, WithoutAttention, WithoutGraph, window_of
from segue.lean.request import Asked
from segue.lean.sparse_rows import SparseRows


class LeanMarkov(WithoutGraph):
    """score(j) = T[v_l, j] + fill(j)."""

    def __init__(
        self, model: StoredArrays, derived: StoredArrays, options: Mapping[str, Any], n_items: int, n_users: int
    ) -> None:
        self.rows = SparseRows.read(model, n_items)
        self.n_items, self.n_users, self.length = n_items, n_users, window_of(options)[0]
        self.fill: FloatArray = model.read("fill", Form("float64", (n_items,)))
        self.popularity = options.get("fill") == "popularity"

    def score(self, asked: Sequence[Asked]) -> ScoredByMarkov:
        """Score all items for each request."""
        scores = np.repeat(self.fill[None], len(asked), axis=0)
        for row, each in zip(scores, asked, strict=True):
            items, values = self.rows.row(int(each.items[-1]))
            row[items] += values
        return ScoredByMarkov(self, asked, scores)

    def similar(self, item: int) -> Floats:
        """Raises RequestError: the model has no vectors."""
        raise RequestError("Markov has no item vectors: nothing is similar in it; ask a trained model")


@dataclass(frozen=True)
class ScoredByMarkov(WithoutAttention):
    """Scored requests, see :class:`segue.lean.model.Scored`."""

    model: LeanMarkov
    asked: Sequence[Asked]
    scores: Floats

    def parts(self, row: int, items: IntArray) -> Parts:
        """The transition from the last item, and the fill."""
        session = self.asked[row].items
        transition = np.zeros((len(items), len(session)))
        transition[:, -1] = self.model.rows.block(session[-1:], items)[0]
        return Parts({"transition": transition}, base=self.model.fill[items], popularity=self.model.popularity)
