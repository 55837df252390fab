"""Nearest neighbours among the past sessions without torch; see :mod:`segue.models.session_knn`.

Neighbours are found and weighed by the very definition that the torch model reads, :mod:`segue.nn.neighbours`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from segue.artifact.arrays import Form, StoredArrays, check_lists
from segue.data.arrays import FloatArray, IntArray, offsets_of
from segue.data.checks import LATEST
from segue.errors import RequestError
from segue.lean.model import Floats, Parts, WithoutAttention, WithoutGraph, window_of
from segue.lean.request import Asked
from segue.nn.neighbours.index import SessionIndex
from segue.nn.neighbours.scoring import Neighbours, Rules
from segue.system.json_files import typed


@dataclass(frozen=True)
class _Options:
    """What this form reads itself, under the names of the model's configuration."""

    idf_counts: Literal["sessions", "events"]
    fill: Literal["none", "popularity"]
    extend: int


class LeanSessionKNN(WithoutGraph):
    """score(i) = what the nearest past sessions that hold i give to it; without any, the fill."""

    def __init__(
        self, model: StoredArrays, derived: StoredArrays, options: Mapping[str, Any], n_items: int, n_users: int
    ) -> None:
        try:
            self._options, rules = typed(_Options, options), typed(Rules, options)
        except KeyError as error:
            raise ValueError(f"option {error} is missing") from None
        self.n_items, self.n_users = n_items, n_users
        self.length, self._history = window_of(options)
        self.fill: FloatArray = model.read("fill", Form("float64", (n_items,)))
        counted = self._options.idf_counts == "events"
        support = model.read("events", Form("int64", (n_items,), 0)) if counted else None
        self._neighbours = Neighbours.of(_index(model, n_items), rules, support, n_items, n_users)

    def score(self, asked: Sequence[Asked]) -> ScoredByNeighbours:
        """Score all items for each request."""
        running = [self._running(each) for each in asked]
        offsets = offsets_of(np.array([len(items) for items in running], dtype=np.int64))
        length = np.diff(offsets)
        event = np.repeat(np.arange(len(asked)), length)
        place = np.arange(len(event)) - offsets[event] + 1
        found = self._neighbours.running(event, np.concatenate(running), place, length[event])
        times = np.array([each.time for each in asked], dtype=np.int64)
        users = np.array([each.user for each in asked], dtype=np.int64)
        scores = self._neighbours.scores(found, times, users)
        if self._options.fill == "popularity":
            scores = np.where(scores > 0, scores, self.fill)
        return ScoredByNeighbours(scores)

    def _running(self, asked: Asked) -> IntArray:
        """The running session, a short one preceded by the user's last items."""
        missing = min(self._options.extend - len(asked.items), self._history)
        before = asked.past.items[-missing:] if missing > 0 else asked.past.items[:0]
        return np.concatenate([before, asked.items])

    def similar(self, item: int) -> Floats:
        """Raises RequestError: the model has no vectors."""
        raise RequestError("Session-KNN has no item vectors: nothing is similar in it; ask a trained model")


def _index(model: StoredArrays, n_items: int) -> SessionIndex:
    forms = {
        "offsets": Form("int64", (None,)),
        "item": Form("int32", (None,), 0, n_items - 1),
        "place": Form("int32", (None,), 1),
        "end": Form("int64", (None,), -LATEST, LATEST),
        "user": Form("int32", (None,), 0),
    }
    arrays = model.read_all(forms)
    check_lists(arrays, "offsets", "item", "place")
    index = SessionIndex(**arrays)
    index.check()
    return index


@dataclass(frozen=True)
class ScoredByNeighbours(WithoutAttention):
    """Scored requests, see :class:`segue.lean.model.Scored`."""

    scores: Floats

    def parts(self, row: int, items: IntArray) -> Parts:
        """One part: which neighbour gave how much is not kept."""
        return Parts(base=self.scores[row, items])
