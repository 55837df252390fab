"""HG-GNN with a memory that goes on counting. The learned weights are those of training; the counts are live."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from math import log

import numpy as np

from segue.data.arrays import IntArray
from segue.data.corpus import Sessions
from segue.graph.half_lives import HalfLives
from segue.lean.hg_gnn.encoder import Encoder
from segue.lean.hg_gnn.model import LeanHGGNN, ScoredHGGNN
from segue.lean.hg_gnn.terms import Terms
from segue.lean.live.new_items import Grown, neighbours
from segue.lean.live.overlay import Overlay
from segue.lean.live.periods import LivePeriods
from segue.lean.live.train import TrainRows
from segue.lean.live.view import View
from segue.lean.live.weights import LiveWeights
from segue.lean.model import Floats, Index, Shortlist
from segue.lean.request import Asked


class LiveHGGNN(LeanHGGNN):
    """A lean model whose counts are those of train and of the sessions that were added since.

    The arrays of the lean model are shared with it and never written to.

    Args:
        base: the model; it must read counts.
        train: the sessions that its counts were made of, all of them.
    """

    def __init__(self, base: LeanHGGNN, train: Sessions) -> None:
        self.__dict__.update(base.__dict__)
        if base.counts is None:
            raise ValueError("the model has no counts")
        self._base, self._stored = base, base.counts
        self.trained_items, self._train_events = base.n_items, max(len(train.items), 1)
        self._train, self._rows = train, TrainRows(train, base.n_items)
        options = base.options
        lives = HalfLives.of(train, options.history_half_life, options.trend_half_life)
        self._half_lives = {"recent": lives.recent, "trend": lives.trend}
        self._grown: dict[str, Grown] = {"vectors": Grown(base.vectors)}
        if base.encoder is not None:
            self._grown["refined"] = Grown(base.encoder.refined)
            self.encoder = _reading(base.encoder, self._grown["refined"])
        if base.users is not None:
            inputs = {f"input {layer}": Grown(table) for layer, table in enumerate(base.users.inputs)}
            self._grown |= inputs
            self.users = copy(base.users)
            self.users.inputs = list(inputs.values())  # type: ignore[arg-type]
        self.weigh(LiveWeights(options))
        self.forget()

    def weigh(self, weights: LiveWeights) -> None:
        """Add to the learned weights what live events have taught."""
        self.weights, self._scale = weights, weights.scale
        self.heads = self._base.heads.moved(weights.biases)

    def learn(self, scored: ScoredHGGNN, target: int) -> None:
        """Let the item that followed one request teach the live weights."""
        self.weights.learn(scored, target)
        self.weigh(self.weights)

    def forget(self) -> None:
        """Forget everything that was added."""
        self.n_items = self.trained_items
        self._overlay = Overlay(self._rows, self._stored.support, self._stored.degree)
        items, times, top = self._train.items, self._train.times, self.options.memory_items
        self._periods = {
            name: LivePeriods(stored, items, times, self.trained_items, self._half_lives[name], top)
            for name, stored in self._stored.periods.items()
        }
        self._changed: set[int] = set()
        self._kin: dict[int, tuple[IntArray, Floats]] = {}

    def add(self, items: Sequence[int], first: int = 0) -> None:
        """Count the events of a session from place `first` on; those before it were counted. A number from
        ``trained_items`` on is a new item: the next one that is free, or one that was given before."""
        self._overlay.add(items, first)
        self._heard(items)

    def take_out(self, items: Sequence[int]) -> None:
        """Take a session out of the counts of pairs, which it was added to."""
        self._overlay.take_out(items)
        self._heard(items)

    def resembles(self, item: int, rows: IntArray, weights: Floats) -> None:
        """Give a new item the weighted mean of trained ones as its vector, until a trained one is beside it."""
        self._kin[item] = rows, weights

    def happened(self, item: int, time: int, sign: int = 1) -> None:
        """Count an event of an item where popularity is counted, or take one out with `sign` -1."""
        for periods in self._periods.values():
            periods.add(item, time, sign)

    def view(self, own: IntArray, own_times: IntArray | None = None) -> View:
        """The counts without those of a running session: its items, and when each happened, epoch ms; without times
        popularity holds them."""
        happened = list(zip(own.tolist(), own_times.tolist(), strict=True)) if own_times is not None else []
        return View(self._stored, self._overlay, self._periods, own, happened, self.options.memory_items)

    def relations_to(self, item: int, sources: IntArray) -> list[str | None]:
        """The first relation of the graph that leads from each of `sources` to `item`; none to a new item."""
        return self._base.relations_to(item, sources) if item < self.trained_items else [None] * len(sources)

    def similar(self, item: int) -> Floats:
        """Similarity with all items, as training left it: 0 with new items."""
        found = self._base.similar(item) if item < self.trained_items else np.zeros(self.trained_items)
        return np.concatenate([found, np.zeros(self.n_items - len(found))])

    def score(self, asked: Sequence[Asked]) -> ScoredHGGNN:
        """Score all items for each request."""
        self._give_vectors()
        return super().score(asked)

    def shortlists(self, asked: Sequence[Asked], index: Index, most: int) -> list[Shortlist]:
        """The items that may be among the best of each request, scored; all new items are among them."""
        self._give_vectors()
        return super().shortlists(asked, index, most)

    def queries(self, terms: Terms) -> Floats:
        """The vectors of some requests, with what live events have taught, [requests, coordinates]."""
        return terms.vectors * self._scale

    def products(self, vector: Floats, items: IntArray) -> Floats:
        """The products of the vector of a request [coordinates] with those of some items, [k]."""
        return np.asarray(self._grown["vectors"][items] @ vector)

    def vectors_of(self, items: IntArray) -> Floats:
        """Vectors of some items, [coordinates, k]."""
        return (self._grown["vectors"][items] * self._scale).T

    def _dense(self, vectors: Floats) -> Floats:
        trained = self.vectors.product(vectors)
        new = self.n_items - self.trained_items
        return np.concatenate([trained, vectors @ self._grown["vectors"].more[:new].T], 1) if new else trained

    def _counts_for(self, asked: Asked) -> View:  # type: ignore[override]
        return self.view(asked.own, asked.own_times)

    def _heard(self, items: Iterable[int]) -> None:
        new = {item for item in items if item >= self.trained_items}
        self._changed |= new
        self.n_items = max(self.n_items, *(item + 1 for item in new)) if new else self.n_items

    def _give_vectors(self) -> None:
        """Form the vectors of the new items beside which something has changed."""
        if not self._changed:
            return
        items = np.array(sorted(self._changed))
        means = {item: neighbours(self._overlay, item, self.trained_items) for item in items.tolist()}
        means |= {item: self._kin[item] for item, (rows, _) in means.items() if not len(rows) and item in self._kin}
        for table in self._grown.values():
            table.set(items, means)
        if self.options.popularity:
            vectors = self._grown["vectors"].more
            for item in items.tolist():
                share = max(self._overlay.events[item], 0.5) / self._train_events
                vectors[item - self.trained_items, -1] = log(share)
        self._changed.clear()


def _reading(encoder: Encoder, refined: Grown) -> Encoder:
    """The encoder, reading the vectors of new items too."""
    own = copy(encoder)
    own.refined = refined  # type: ignore[assignment]
    return own
