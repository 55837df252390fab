"""The terms that the scores of some requests are made of, kept apart for the reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from segue.contract.memory_sources import TABLE, MemorySource
from segue.data.arrays import FloatArray, IntArray
from segue.lean.hg_gnn.encoder import Reading
from segue.lean.hg_gnn.options import HGGNNOptions
from segue.lean.hg_gnn.past import sums
from segue.lean.hg_gnn.recall import Items, Suggested
from segue.lean.model import Floats
from segue.lean.request import Asked

Recalled = Sequence[Mapping[MemorySource, Suggested]]


@dataclass(frozen=True)
class Believed:
    """How far each source is believed; all but log_dense [requests, sources].

    by_count, by_presence: w_f and w'_f. gates: g_f, and log_dense [requests] the log share of the softmax; None without
    a pointer. totals: Σ f.
    """

    by_count: Floats
    by_presence: Floats
    gates: Floats | None
    log_dense: Floats | None
    totals: FloatArray


@dataclass(frozen=True)
class Terms:
    """The terms of some requests.

    Attributes:
        vectors: the session vectors with everything that is added to them, and the weight of popularity,
            [requests, coordinates].
        reading: S of eq. (18) and its parts; None without embeddings. by_user: what the user's terms add to S, by
            name, [requests, d] each.
        recalled: what each source of the memory suggests, by request. believed: how far; None without a memory.
    """

    options: HGGNNOptions
    asked: Sequence[Asked]
    vectors: Floats
    reading: Reading | None
    by_user: Mapping[str, Floats]
    recalled: Recalled
    believed: Believed | None


class Entries:
    """All that the sources suggest for some requests, end to end: request by request, source by source.

    Attributes:
        items, values: f(item), above zero, [n].
        lengths: number of items, [requests, sources].
    """

    def __init__(self, recalled: Recalled) -> None:
        every = [suggested for of_request in recalled for suggested in of_request.values()]
        self.items: Items = np.concatenate([each.items for each in every])
        self.values: FloatArray = np.concatenate([each.values for each in every])
        self.lengths: IntArray = np.array([len(each.items) for each in every]).reshape(len(recalled), -1)
        owner = np.repeat(np.arange(len(every)), self.lengths.ravel())
        totals = sums(owner, self.values, len(every))
        self.totals: FloatArray = totals.reshape(self.lengths.shape)

    def spread(self, of_sources: Floats) -> Floats:
        """A number of each request and source [requests, sources], for each of its entries [n]."""
        return np.repeat(of_sources.ravel(), self.lengths.ravel())


@dataclass(frozen=True)
class Cells:
    """Scores of several requests end to end, and which of them the entries of the memory speak of.

    Attributes:
        bounds: the scores of a request are those from ``bounds[request]`` to ``bounds[request + 1]``.
        places: among all scores, the one of the item of each entry, [n].
    """

    bounds: IntArray
    places: IntArray

    @classmethod
    def of_all_items(cls, entries: Entries, n_items: int) -> Cells:
        """The cells where every request has a score for every item."""
        bounds = np.arange(len(entries.lengths) + 1) * n_items
        return cls(bounds, np.repeat(bounds[:-1], entries.lengths.sum(1)) + entries.items)


def add_memory(
    scores: Floats, cells: Cells, entries: Entries, believed: Believed, sources: Sequence[MemorySource]
) -> None:
    """Add Σ_f [w_f log(1 + c_f f(i)) + w'_f 1[f(i) > 0]] to scores [cells], in place."""
    scales = np.array([[TABLE[source].scale for source in sources]] * len(entries.lengths))
    logs = np.log1p(entries.spread(scales) * entries.values).astype(scores.dtype)
    np.add.at(scores, cells.places, entries.spread(believed.by_count) * logs + entries.spread(believed.by_presence))


def fold_pointer(
    scores: Floats, cells: Cells, entries: Entries, gates: Floats, log_dense: Floats, log_rest: Floats | None = None
) -> None:
    """Fold the pointer into scores [cells], in place: logaddexp(s, logsumexp(s) + log M - log_dense).

    log_rest [requests]: log of the sum of e^s over the items that have no cell; None: all have one.
    """
    shares = gates / np.where(entries.totals > 0, entries.totals, 1.0)
    probability = (entries.spread(shares) * entries.values).astype(scores.dtype)
    mass = np.empty(np.diff(cells.bounds).max(), dtype=scores.dtype)
    first = 0
    for row, last in enumerate(np.cumsum(entries.lengths.sum(1)).tolist()):
        start, end = cells.bounds[row : row + 2].tolist()
        own, room = scores[start:end], mass[: end - start]
        log_sum = log_sum_exp(own, room)
        if log_rest is not None:
            log_sum = float(np.logaddexp(log_sum, log_rest[row]))
        room.fill(0)
        at = cells.places[first:last] - start
        np.add.at(room, at, probability[first:last])
        at = at[probability[first:last] > 0]
        pointed = np.log(room[at]) + (log_sum - log_dense[row])
        own[at] = np.logaddexp(own[at], pointed)  # an item that comes twice gets the same twice
        first = last


def log_sum_exp(scores: Floats, room: Floats) -> float:
    """Log of the sum of e^score; `room` [items] is overwritten."""
    top = scores.max()
    np.exp(np.subtract(scores, top, out=room), out=room)
    return float(top) + log(float(room.sum()))
