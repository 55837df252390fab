"""How far each term is believed, and the memory's entries of all sources as one list, as operators of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from segue.contract.memory_sources import FARTHEST_FACT, TABLE, MemorySource
from segue.export.functions import distinct, joined, larger, sigmoid, smaller, sums, where, zeros
from segue.export.graph import Value
from segue.export.hg_gnn.memory import suggested
from segue.export.hg_gnn.question import Entries, Question
from segue.lean.hg_gnn.heads import Heads


class Candidates(NamedTuple):
    """What the memory says of items, each request and item once.

    at int64 [n, 2]: request and item. added float32 [n]: what is added to the score. pointed float32 [n]: the
    probability that the pointer gives; log_dense float32 [requests]: log share of the softmax; None without a pointer.
    """

    at: Value
    added: Value
    pointed: Value | None
    log_dense: Value | None


class Believer:
    """The linear maps of z = [S ‖ q ‖ x]; see :class:`segue.lean.hg_gnn.heads.Heads`."""

    def __init__(self, heads: Heads, question: Question, known: Sequence[Value]) -> None:
        self._heads, self._question, self.options = heads, question, heads.options
        counts = question.counts
        self._suggested = suggested(question, {*self.options.sources, "transition"})
        facts = (question.facts(self._suggested.get("transition")) - counts.centre) / counts.spread
        facts = smaller(larger(facts, -FARTHEST_FACT), FARTHEST_FACT).to(np.float32)
        self._z = joined([*known, facts], axis=1)

    def _of(self, name: str) -> Value:
        weight, bias = self._heads.maps[name]
        return self._z @ weight.T + bias

    def user_term(self, q: Value) -> Value:
        """g * (W_u q), [requests, d]."""
        return sigmoid(self._of("user_gate")) * (q @ self._heads.user_map.T)

    def popularity(self) -> Value:
        """k, [requests, 1]."""
        return self._of("popularity_weight")

    def candidates(self) -> Candidates | None:
        """What the memory says; None where no source is asked."""
        if not self.options.sources:
            return None
        question = self._question
        found = {each: self._suggested[each] for each in self.options.sources if each in self._suggested}
        log_gate, totals = self._gates(found) if self.options.pointer else (None, {})
        nothing = zeros(np.int64, question.graph.value(np.int64(0)))
        no_value = nothing.to(np.float32)
        keys, place = distinct(joined([nothing, *(e.row * question.n_items + e.item for e in found.values())]))
        count = keys.length()
        added = sums(place, joined([no_value, *(self._added(each, found[each]) for each in found)]), count)
        at = joined([(keys / question.n_items).column(1), (keys % question.n_items).column(1)], axis=1)
        if log_gate is None:
            return Candidates(at, added, None, None)
        pointed = [self._pointed(each, found[each], log_gate, totals) for each in found]
        return Candidates(at, added, sums(place, joined([no_value, *pointed]), count), _columns(log_gate, 0))

    def _added(self, source: MemorySource, entries: Entries) -> Value:
        """w_f log(1 + c_f f(i)) + w'_f of every entry; 0 for a source that only points."""
        if source not in self.options.memory:
            return entries.value.to(np.float32) * 0
        number, weights = self.options.memory.index(source), self._of("memory.weight").take(entries.row)
        by_count, by_presence = _columns(weights, 2 * number), _columns(weights, 2 * number + 1)
        logs = (1 + TABLE[source].scale * entries.value).map("Log").to(np.float32)
        return by_count * logs + by_presence

    def _gates(self, found: dict[MemorySource, Entries]) -> tuple[Value, dict[MemorySource, Value]]:
        """Log shares of softmax and pointing sources [requests, 1 + sources], and Σ f by source; silent sources are
        closed."""
        n = self._question.n
        silent = zeros(np.float64, n)
        totals = {each: sums(entries.row, entries.value, n) for each, entries in found.items()}
        open_ = [silent + 1, *(totals.get(source, silent) for source in self.options.pointer)]
        logits = where(joined([each.column(1) for each in open_], axis=1) > 0, self._of("pointer.gate"), -np.inf)
        logits = logits - logits.max(1, keep=True)
        return logits - logits.map("Exp").sum(1, keep=True).map("Log"), totals

    def _pointed(
        self, source: MemorySource, entries: Entries, log_gate: Value, totals: dict[MemorySource, Value]
    ) -> Value:
        """g_f f(i) / Σ f of every entry; 0 for a source that does not point."""
        if source not in self.options.pointer:
            return entries.value.to(np.float32) * 0
        gate = _columns(log_gate, 1 + self.options.pointer.index(source)).map("Exp").take(entries.row)
        return gate * (entries.value / totals[source].take(entries.row)).to(np.float32)


def _columns(matrix: Value, number: int) -> Value:
    """One column of a matrix."""
    return matrix.graph.op("Gather", matrix, np.int64(number), axis=1)
