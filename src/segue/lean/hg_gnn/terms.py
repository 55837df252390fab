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


def add_memory(scores: Floats, entries: Entries, believed: Believed, sources: Sequence[MemorySource]) -> None:
    """Add Σ_f [w_f log(1 + c_f f(i)) + w'_f 1[f(i) > 0]] to scores [requests, items], in place."""
    scales = np.array([[TABLE[source].scale for source in sources]] * len(scores))
    logs = np.log1p(entries.spread(scales) * entries.values).astype(scores.dtype)
    values = entries.spread(believed.by_count) * logs + entries.spread(believed.by_presence)
    first = np.repeat(np.arange(len(scores)) * scores.shape[1], entries.lengths.sum(1))
    np.add.at(scores.reshape(-1), first + entries.items, values)


def fold_pointer(scores: Floats, entries: Entries, gates: Floats, log_dense: Floats) -> None:
    """Fold the pointer into scores [requests, items], in place: logaddexp(s, logsumexp(s) + log M - log_dense)."""
    shares = gates / np.where(entries.totals > 0, entries.totals, 1.0)
    probability = (entries.spread(shares) * entries.values).astype(scores.dtype)
    mass = np.empty(scores.shape[1], dtype=scores.dtype)
    first = 0
    for row, last in enumerate(np.cumsum(entries.lengths.sum(1)).tolist()):
        log_sum = _log_sum_exp(scores[row], mass)
        mass.fill(0)
        items = entries.items[first:last]
        np.add.at(mass, items, probability[first:last])
        items = items[probability[first:last] > 0]
        pointed = np.log(mass[items]) + (log_sum - log_dense[row])
        scores[row, items] = np.logaddexp(scores[row, items], pointed)  # an item that comes twice gets the same twice
        first = last


def _log_sum_exp(scores: Floats, room: Floats) -> float:
    """Log of the sum of e^score; `room` [items] is overwritten."""
    top = scores.max()
    np.exp(np.subtract(scores, top, out=room), out=room)
    return float(top) + log(float(room.sum()))
