"""Scores of items from the nearest past sessions: similarity, the k largest, what each gives to its items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from segue.data.arrays import FloatArray, IntArray, blocks, offsets_of, spans
from segue.nn.neighbours.index import Running, SessionIndex, Shared
from segue.nn.neighbours.weights import Shape, item_weight, match_weight
from segue.settings.units import milliseconds

DIGITS = 12
CELLS_PER_BLOCK = 2**19
"""Bound on the items of sessions that are processed together; each takes about 100 bytes."""


@dataclass(frozen=True)
class Rules:
    """How neighbours are found and weighed; :class:`segue.models.session_knn.config.SessionKNNConfig` says each."""

    k: int
    sample: int
    weighting: Shape
    spw: float
    cosine: bool
    snh: str | None
    inh: float | None
    anchor: Literal["running", "neighbour"]
    match_weighting: Shape
    ipw: float
    idf: float
    boost: float


@dataclass(frozen=True)
class Neighbours:
    """The past sessions with the rules; the equation stands with :class:`segue.models.session_knn.model.SessionKNN`.

    Attributes:
        item_factor: 1 + weight of the inverse document frequency, [items].
        n_users: number of known users; their numbers are smaller.
    """

    index: SessionIndex
    rules: Rules
    item_factor: FloatArray
    n_users: int

    @classmethod
    def of(cls, index: SessionIndex, rules: Rules, support: IntArray | None, n_items: int, n_users: int) -> Neighbours:
        """The neighbours of a model.

        Args:
            support: events of each item, [items]; None: its sessions are counted.
        """
        frequency = np.bincount(index.item, minlength=n_items) if support is None else support
        factor = 1 + rules.idf * np.log(len(index) / np.maximum(frequency, 1))
        return cls(index, rules, factor, n_users)

    def running(self, event: IntArray, item: IntArray, place: IntArray, length: IntArray) -> Running:
        """The running sessions: each item once, at its last position. All flat [n], by event and position from 1.

        Args:
            length: items of the whole session.
        """
        once = np.unique((event * len(self.item_factor) + item)[::-1], return_index=True)[1]
        last = np.sort(len(item) - 1 - once)
        weight = item_weight(self.rules.weighting, self.rules.spw, place[last], length[last])
        return Running(event[last], item[last], place[last], length[last], weight)

    def scores(self, running: Running, time: IntArray, user: IntArray) -> FloatArray:
        """Scores of all items, [events, items].

        Args:
            time: epoch ms, [events]. user: number of the user, `n_users` or more for an unknown one, [events].
        """
        scores = np.zeros((len(time), len(self.item_factor)))
        for shared in self.index.shared(running, time, self.rules.sample, CELLS_PER_BLOCK):
            sim = self._similarity(running, shared, time, user)
            near = _largest(shared.event, sim, self.rules.k)
            self._add(scores.reshape(-1), running, shared.take(near), sim[near])
        return scores

    def _similarity(self, running: Running, shared: Shared, time: IntArray, user: IntArray) -> FloatArray:
        """Similarity of every pair, [n]."""
        rules, index = self.rules, self.index
        squared = np.square(running.weight) if rules.cosine else np.ones(len(running.event))
        norm = np.bincount(running.event, weights=squared, minlength=len(time))
        sim = shared.weight / (np.sqrt(norm) if rules.cosine else norm)[shared.event]
        if rules.cosine:
            sim /= np.sqrt(index.lengths)[shared.session]
        sim = _rounded(sim)
        if rules.boost:
            whose = user[shared.event]
            sim[(whose < self.n_users) & (index.user[shared.session] == whose)] *= 1 + rules.boost
        if rules.snh is not None:
            sim *= np.exp((index.end[shared.session] - time[shared.event]) / milliseconds(rules.snh))
        return sim

    def _add(self, scores: FloatArray, running: Running, near: Shared, sim: FloatArray) -> None:
        """Add, in place, what each neighbour gives to its items; scores [events · items]."""
        rules, index = self.rules, self.index
        place, length = running.place[near.last], running.length[near.last]
        given = sim * match_weight(rules.match_weighting, rules.ipw, place, length)
        for part in blocks(index.lengths[near.session], CELLS_PER_BLOCK):
            session = near.session[part]
            cell, pair = spans(index.offsets[session], index.lengths[session])
            item, value = index.item[cell], given[part][pair]
            if rules.inh is not None:
                anchor = near.furthest if rules.anchor == "neighbour" else near.place
                value *= np.exp(-np.abs(index.place[cell] - anchor[part][pair]) / rules.inh)
            if rules.idf:
                value *= self.item_factor[item]
            np.add.at(scores, near.event[part][pair] * len(self.item_factor) + item, value)


def _rounded(values: FloatArray) -> FloatArray:
    """Round to DIGITS significant digits: equal fractions must be equal floats, or the last bit breaks their tie."""
    mantissa, exponent = np.frexp(values)
    rounded: FloatArray = np.ldexp(np.round(mantissa, DIGITS), exponent)
    return rounded


def _largest(event: IntArray, sim: FloatArray, k: int) -> IntArray:
    """Indices of the k largest pairs of each event, ties to the later one; `event` ascending."""
    count = np.bincount(event)
    place = np.arange(len(event)) - offsets_of(count)[event]
    crowded = np.flatnonzero(count > k)
    smallest = np.zeros(len(count))  # of those that stay
    if len(crowded):
        row = np.full(len(count), -1)
        row[crowded] = np.arange(len(crowded))
        inside = row[event] >= 0
        dense = np.zeros((len(crowded), int(count.max())))
        dense[row[event[inside]], place[inside]] = sim[inside]
        smallest[crowded] = np.partition(dense, -k, axis=1)[:, -k]
    above = sim > smallest[event]
    tied = np.flatnonzero(sim == smallest[event])
    room = k - np.bincount(event[above], minlength=len(count))
    whose = event[tied]
    behind = np.cumsum(np.bincount(whose, minlength=len(count)))[whose] - np.arange(len(tied))
    above[tied[behind <= room[whose]]] = True
    return np.flatnonzero(above)
