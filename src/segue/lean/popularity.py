"""Popularity, of everybody, of the session and of the user, without torch; see :mod:`segue.models.popularity`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from segue.artifact.arrays import Form, StoredArrays
from segue.data.arrays import FloatArray, IntArray
from segue.errors import RequestError
from segue.lean.model import Floats, Parts, WithoutAttention, WithoutGraph, window_of
from segue.lean.request import Asked
from segue.settings.units import milliseconds
from segue.system.json_files import typed


@dataclass(frozen=True)
class _Options:
    """Options, under the names of the model's configuration."""

    session_weight: float
    session_order: Literal["count", "recency"]
    history_weight: float
    half_life: str | None


class LeanPopularity(WithoutGraph):
    """score(i) = popularity of i + session_weight · clicks in the session + history_weight · clicks in the history."""

    def __init__(
        self, model: StoredArrays, derived: StoredArrays, options: Mapping[str, Any], n_items: int, n_users: int
    ) -> None:
        try:
            self.options = typed(_Options, options)
        except KeyError as error:
            raise ValueError(f"option {error} is missing") from None
        self.popularity: FloatArray = model.read("popularity", Form("float64", (n_items,), 0))
        self.n_items, self.n_users = n_items, n_users
        self.length, self._history = window_of(options)
        half_life = self.options.half_life
        self._half_life = milliseconds(half_life) if half_life is not None else None

    def of_session(self, asked: Asked) -> FloatArray:
        """What each click of the session adds to the score of its item."""
        weights = np.full(len(asked.items), self.options.session_weight)
        if self.options.session_order == "recency":
            later = asked.items[::-1]
            place = len(later) - np.arange(len(later))
            first = np.zeros(len(later), dtype=np.bool_)
            first[np.unique(later, return_index=True)[1]] = True  # an item counts at its last place alone
            weights = (weights * place * first)[::-1]
        return weights

    def of_history(self, asked: Asked) -> tuple[IntArray, FloatArray]:
        """The items of the history, and what each of its clicks adds."""
        cut = max(len(asked.past.items) - self._history, 0)
        items, times = asked.past.items[cut:], asked.past.times[cut:]
        weights = np.full(len(items), self.options.history_weight)
        if self._half_life is not None:
            weights = weights * np.exp2(-np.maximum(asked.time - times, 0) / self._half_life)
        return items, weights

    def score(self, asked: Sequence[Asked]) -> ScoredByPopularity:
        """Score all items for each request."""
        scores = np.repeat(self.popularity[None], len(asked), axis=0)
        for row, each in zip(scores, asked, strict=True):
            if self.options.session_weight:
                np.add.at(row, each.items, self.of_session(each))
            if self.options.history_weight:
                np.add.at(row, *self.of_history(each))
        return ScoredByPopularity(self, asked, scores)

    def similar(self, item: int) -> Floats:
        """Raises RequestError: the model has no vectors."""
        raise RequestError("Popularity has no item vectors: nothing is similar in it; ask a trained model")


@dataclass(frozen=True)
class ScoredByPopularity(WithoutAttention):
    """Scored requests, see :class:`segue.lean.model.Scored`."""

    model: LeanPopularity
    asked: Sequence[Asked]
    scores: Floats

    def parts(self, row: int, items: IntArray) -> Parts:
        """The running session item by item, the user's history, and popularity."""
        asked = self.asked[row]
        session = (items[:, None] == asked.items) * self.model.of_session(asked)
        seen, weights = self.model.of_history(asked)
        history = (items[:, None] == seen).astype(np.float64) @ weights
        return Parts({"session": session}, {"history": history}, self.model.popularity[items], popularity=True)
