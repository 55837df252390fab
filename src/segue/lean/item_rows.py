"""Models that sum rows of an item-to-item matrix over the clicks of an event, without torch.

Item-KNN of :mod:`segue.models.item_knn`, and the linear models of :mod:`segue.contract.item_weights`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from segue.artifact.arrays import Form, StoredArrays
from segue.data.arrays import FloatArray, IntArray
from segue.errors import RequestError
from segue.lean.model import Floats, Parts, WithoutAttention, WithoutGraph, window_of
from segue.lean.request import Asked
from segue.lean.sparse_rows import SparseRows


class Clicks(NamedTuple):
    """The known clicks of a request, with weights: of the session, and of the distinct items of the history."""

    items: IntArray
    weights: FloatArray
    past_items: IntArray
    past_weights: FloatArray


class LeanItemRows(WithoutGraph):
    """score(j) = Σ over the known clicks of weight · B[i, j]; a subclass says what other items have."""

    term = "similar"

    def __init__(
        self, model: StoredArrays, derived: StoredArrays, options: Mapping[str, Any], n_items: int, n_users: int
    ) -> None:
        self.rows = SparseRows.read(model, n_items)
        self.fade = float(derived.read("fade", Form("float64", (), 0, 1)))
        self.distinct = bool(derived.read("distinct", Form("int64", (), 0, 1)))
        self.length, self.history = window_of(options)
        self.n_items, self.n_users = n_items, n_users

    def clicks(self, asked: Asked) -> Clicks:
        """The clicks that a request knows, as :func:`segue.nn.clicks.clicks_of` weighs them."""
        items, past = asked.items, asked.past.items[max(len(asked.past.items) - self.history, 0) :]
        weights = self.fade ** np.arange(len(items) - 1.0, -1, -1)
        past_items, place = np.unique(past, return_inverse=True)
        past_weights = np.zeros(len(past_items))
        np.add.at(past_weights, place, self.fade ** np.arange(len(past) - 1.0, -1, -1))
        if self.distinct:
            first = np.zeros(len(items), dtype=np.bool_)
            first[np.unique(items[::-1], return_index=True)[1]] = True
            weights = (first[::-1] & ~np.isin(items, past_items)).astype(np.float64)
            past_weights = np.ones(len(past_items))
        return Clicks(items, weights, past_items, np.asarray(past_weights * self.fade ** len(items)))

    def score(self, asked: Sequence[Asked]) -> ScoredByRows:
        """Score all items for each request."""
        scores = np.zeros((len(asked), self.n_items))
        for row, each in zip(scores, asked, strict=True):
            clicks = self.clicks(each)
            self.rows.add_to(row, clicks.items, clicks.weights)
            self.rows.add_to(row, clicks.past_items, clicks.past_weights)
        return ScoredByRows(self, asked, self.filled(scores))

    def filled(self, scores: FloatArray) -> FloatArray:
        """Scores [requests, items] with those of items that no click speaks for."""
        return scores

    def parts_of(self, session: FloatArray, past: FloatArray, base: FloatArray) -> Parts:
        """The parts of a score under the names of the model."""
        return Parts({self.term: session}, {"history": past}, base)

    def similar(self, item: int) -> Floats:
        """The row of the item: what a click of it adds to the score of every item."""
        scores = np.zeros(self.n_items)
        self.rows.add_to(scores, np.array([item]), np.ones(1))
        return scores


class LeanItemKNN(LeanItemRows):
    """Item-KNN: items without similarity have the fill, where there is one."""

    def __init__(
        self, model: StoredArrays, derived: StoredArrays, options: Mapping[str, Any], n_items: int, n_users: int
    ) -> None:
        super().__init__(model, derived, options, n_items, n_users)
        self._fill = model.read("fill", Form("float64", (n_items,)))
        self._fills = options.get("fill") == "popularity"

    def filled(self, scores: FloatArray) -> FloatArray:
        """Scores [requests, items], the fill in place of those that are not above zero."""
        return np.where(scores > 0, scores, self._fill) if self._fills else scores

    def parts_of(self, session: FloatArray, past: FloatArray, base: FloatArray) -> Parts:
        """The similarity to each item of the session and to the history, and the fill."""
        user = {"history": past} if self.history else {}
        return Parts({self.term: session}, user, base, popularity=self._fills)


class LeanItemWeights(LeanItemRows):
    """Linear models: items that train does not hold have the lowest score."""

    term = "weights"

    def __init__(
        self, model: StoredArrays, derived: StoredArrays, options: Mapping[str, Any], n_items: int, n_users: int
    ) -> None:
        super().__init__(model, derived, options, n_items, n_users)
        self._supported = model.read("supported", Form("bool", (n_items,)))

    def filled(self, scores: FloatArray) -> FloatArray:
        """Scores [requests, items], the lowest of each request for items without support."""
        return np.where(self._supported, scores, scores.min(1, keepdims=True))

    def similar(self, item: int) -> Floats:
        """Raises RequestError: weights explain one another away, the largest is not that of the most similar item."""
        raise RequestError("linear models have no item vectors: nothing is similar in them; ask a trained model")


@dataclass(frozen=True)
class ScoredByRows(WithoutAttention):
    """Scored requests, see :class:`segue.lean.model.Scored`."""

    model: LeanItemRows
    asked: Sequence[Asked]
    scores: FloatArray

    def parts(self, row: int, items: IntArray) -> Parts:
        """What each click of the session adds, what the history adds, and the score of items without either."""
        clicks = self.model.clicks(self.asked[row])
        session = self.model.rows.block(clicks.items, items).T * clicks.weights
        past = self.model.rows.block(clicks.past_items, items).T @ clicks.past_weights
        added = session.sum(1) + past
        base = self.scores[row, items] - added
        return self.model.parts_of(session, past, np.where(np.abs(base) > 1e-12 * np.abs(added), base, 0.0))
