"""The user vectors q, eq. (8), and the session vectors S, eq. (9)-(18), as operators of a graph."""

from __future__ import annotations

import numpy as np

from segue.export.functions import counting, distinct, joined, larger, places, sigmoid, sums, where, zeros
from segue.export.graph import Value
from segue.export.hg_gnn.asked import Asked
from segue.lean.hg_gnn.encoder import Encoder
from segue.lean.hg_gnn.users import Users
from segue.lean.model import Floats


def user_vectors(asked: Asked, users: Users, n_items: int) -> Value:
    """Vectors q [requests, d]: stored ones, and exact ones of users known by a history; see :class:`Users`."""
    graph, options = asked.graph, users.options
    stored = graph.stored("refined.user", users.refined).take(asked.user)
    row, cell = places(asked.past.mask)
    key = row * n_items + flat(asked.past.items, row, cell)
    heard = key if options.multiplicity else distinct(key)[0]
    row, item = heard / n_items, heard % n_items
    n = asked.user.length()
    count = sums(row, row * 0 + 1, n).to(np.float32).column(1)
    own = graph.stored("initial.user", users.start).take(asked.user)
    total = own * np.float32(options.alphas[0])
    for number, (inputs, layer, alpha) in enumerate(zip(users.inputs, users.layers, options.alphas[1:], strict=True)):
        table = graph.stored("initial.item" if number == 0 else f"input.{number}.item", inputs)
        added = graph.op(
            "ScatterND", zeros(np.float32, n, graph.value(np.int64(options.dim))), row.column(1), table.take(item),
            reduction="add",
        )  # fmt: skip
        own = _layer(users, layer, added / larger(count, 1), own, count)
        total = total + own * np.float32(alpha)
    return where((asked.fresh & (asked.past.mask.any(1))).column(1), total, stored)


def _layer(users: Users, weights: list[tuple[bool, Floats, Floats]], mean: Value, own: Value, heard: Value) -> Value:
    """Eq. (5)-(7) for nodes that hear items alone, whose vectors have this mean."""
    if not weights:
        return own
    if users.options.homogeneous:
        heard = heard * np.float32(users.hears_items)
        mean = (own + heard * mean) / (heard + 1)
    messages = []
    for by_items, weight, bias in weights:
        message = joined([mean if by_items else mean * 0, own], axis=1) @ weight.T + bias
        messages.append(message.map("Relu"))
    total = sum(messages[1:], start=messages[0])
    return total / len(messages) if users.options.accumulate == "mean" else total


class SessionReader:
    """The personalised session encoder; see :class:`segue.lean.hg_gnn.encoder.Encoder`."""

    def __init__(self, asked: Asked, encoder: Encoder) -> None:
        self._asked, self._encoder, self.options = asked, encoder, encoder.options
        self._mask = asked.session.mask
        self._p = asked.graph.stored("refined.item", encoder.refined).take(asked.session.items)

    def _w(self, name: str, part: str = "weight") -> Floats:
        return self._encoder.weights[f"{name}.{part}"]

    def session(self, q: Value) -> Value:
        """S of eq. (18), [requests, d]."""
        if not self.options.general_preference:
            return self._current()
        if not self.options.current_preference:
            return self._general(q)
        current, general = self._current(), self._general(q)
        logit = joined([current, general], axis=1) @ self._w("w_s").T
        gate = sigmoid(logit + self._w("w_s", "bias") if self.options.gate == "scalar" else logit)
        return gate * current + (1 - gate) * general

    def _current(self) -> Value:
        """Current preference C, eq. (9)-(13)."""
        encoder, graph = self._encoder, self._asked.graph
        cells = self._mask.to(np.float32)
        share = cells / self._asked.length.to(np.float32).column(1)
        by_item = self._p @ encoder.by_item
        position = graph.value(encoder.position).take(counting(self._mask.length(1)))
        placed = by_item + position
        if self.options.hidden == "linear":
            hidden, summed = placed @ self._w("w_0").T, placed
        else:
            hidden, summed = (placed * cells.column(2)).map("Tanh") @ self._w("w_0").T, self._p
        mean = _weighted(share, summed)
        hidden = hidden + (mean @ self._w("w_1").T + self._w("w_1", "bias")).column(1)
        return _weighted(self._weigh(hidden, self._w("v_0")), summed)

    def _general(self, q: Value) -> Value:
        """General preference O, eq. (14)-(16)."""
        seen = self._p if self.options.hidden == "linear" else (self._p @ self._w("w_g").T).map("Tanh")
        hidden = seen @ self._w("w_2").T + self._w("w_2", "bias")
        if self.options.user_nodes:
            hidden = hidden + (q @ self._w("w_3").T).column(1)
        return _weighted(self._weigh(hidden, self._w("v_1")), self._p)

    def _weigh(self, hidden: Value, vector: Floats) -> Value:
        """Attention weights of the cells, 0 where there is no item."""
        logits = self._asked.graph.op("Squeeze", sigmoid(hidden) @ vector.T, np.array([2]))
        if self.options.attention == "raw":
            return logits * self._mask.to(np.float32)
        weights = where(self._mask, logits - where(self._mask, logits, -np.inf).max(1, keep=True), -np.inf).map("Exp")
        return weights / weights.sum(1, keep=True)


def _weighted(weights: Value, cells: Value) -> Value:
    """Weighted sum over the cells, [requests, d]."""
    return (weights.column(2) * cells).sum(1)


def flat(values: Value, row: Value, cell: Value) -> Value:
    """The cells of a matrix at these rows and columns, [n]."""
    at = joined([row.column(1), cell.column(1)], axis=1)
    return values.graph.op("GatherND", values, at)
