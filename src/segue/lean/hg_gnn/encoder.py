"""The personalised session encoder, eq. (9)-(18), for several requests at once.

Equal to :class:`segue.models.hg_gnn.session_encoder.PersonalisedSessionEncoder`. What is linear is moved out of the
sums over the session: Σ_j α_j W p_j = W Σ_j α_j p_j, and W_0 W_c is one matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segue.artifact.arrays import Form, StoredArrays
from segue.data.arrays import IntArray
from segue.lean.hg_gnn.options import HGGNNOptions
from segue.lean.model import Floats

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Reading:
    """What was read of some sessions, cells by reversed position: cell 0 is a session's last item.

    session, gate [requests, d]: S and α_c. alpha, gamma [requests, length]: attention weights, 0 beyond a session's
    beginning. p [requests, length, d]: refined vectors of the items.
    """

    session: Floats
    gate: Floats
    alpha: Floats
    gamma: Floats
    p: Floats


class Encoder:
    """The weights of the encoder, and the refined item vectors that it reads."""

    def __init__(self, model: StoredArrays, refined: Floats, options: HGGNNOptions) -> None:
        self.options, self.refined = options, refined
        dim, length = options.dim, options.window.length
        square, wide, column = Form("float32", (dim, dim)), Form("float32", (dim, 2 * dim)), Form("float32", (dim,))
        forms: dict[str, Form] = {}
        if options.current_preference:
            forms |= {"position.weight": Form("float32", (length, dim)), "w_c.weight": wide, "w_0.weight": square}
            forms |= {"w_1.weight": square, "w_1.bias": column, "v_0.weight": Form("float32", (1, dim))}
        if options.general_preference:
            forms |= {"w_2.weight": square, "w_2.bias": column, "v_1.weight": Form("float32", (1, dim))}
            forms |= {"w_3.weight": square} if options.user_nodes else {}
            forms |= {"w_g.weight": square} if options.hidden == "tanh" else {}
        if options.current_preference and options.general_preference:
            scalar = {"w_s.weight": Form("float32", (1, 2 * dim)), "w_s.bias": Form("float32", (1,))}
            forms |= {"w_s.weight": wide} if options.gate == "vector" else scalar
        self.weights = {name: model.read(f"encoder.{name}", form) for name, form in forms.items()}
        if options.current_preference:
            self.by_item, by_position = (np.ascontiguousarray(w.T) for w in np.split(self._w("w_c"), 2, axis=1))
            self.position = self._w("position") @ by_position
            self.hidden_item, self.hidden_position = (m @ self._w("w_0").T for m in (self.by_item, self.position))

    def _w(self, name: str, part: str = "weight") -> Floats:
        return self.weights[f"{name}.{part}"]

    def read(self, sessions: Sequence[IntArray], q: Floats) -> Reading:
        """Read some sessions [items each, the oldest first] of users with vectors q [requests, d]."""
        lengths = np.array([len(items) for items in sessions])
        mask = np.arange(lengths.max()) < lengths[:, None]
        places = np.zeros(mask.shape, dtype=np.int64)
        for row, items in enumerate(sessions):
            places[row, : len(items)] = items[::-1]
        p = self.refined[places]
        count = lengths[:, None].astype(np.float32)
        nothing = np.zeros(mask.shape, dtype=np.float32), np.zeros_like(q)
        alpha, current = self._current(p, mask, count) if self.options.current_preference else nothing
        gamma, general = self._general(p, q, mask) if self.options.general_preference else nothing
        if self.options.current_preference and self.options.general_preference:
            bias = self._w("w_s", "bias") if self.options.gate == "scalar" else np.float32(0)
            logit = np.concatenate([current, general], 1) @ self._w("w_s").T + bias
            gate = np.broadcast_to(sigmoid(logit), q.shape)
        else:
            gate = np.full_like(q, float(self.options.current_preference))
        return Reading(gate * current + (1 - gate) * general, gate, alpha, gamma, p)

    def _current(self, p: Floats, mask: Mask, count: Floats) -> tuple[Floats, Floats]:
        """Attention α and current preference C, eq. (9)-(13)."""
        length = mask.shape[1]
        position, mean = self.position[:length], _weighted(mask / count, p)
        if self.options.hidden == "linear":
            hidden = p @ self.hidden_item + self.hidden_position[:length]
            mean = mean @ self.by_item + (mask / count) @ position
        else:
            hidden = np.tanh((p @ self.by_item + position) * mask[..., None]) @ self._w("w_0").T
        hidden += (mean @ self._w("w_1").T + self._w("w_1", "bias"))[:, None]
        alpha = self._weigh(sigmoid(hidden) @ self._w("v_0")[0], mask)
        total = _weighted(alpha, p)
        return alpha, total @ self.by_item + alpha @ position if self.options.hidden == "linear" else total

    def _general(self, p: Floats, q: Floats, mask: Mask) -> tuple[Floats, Floats]:
        """Attention γ and general preference O, eq. (14)-(16)."""
        seen = p if self.options.hidden == "linear" else np.tanh(p @ self._w("w_g").T)
        hidden = seen @ self._w("w_2").T + self._w("w_2", "bias")
        if self.options.user_nodes:
            hidden += (q @ self._w("w_3").T)[:, None]
        gamma = self._weigh(sigmoid(hidden) @ self._w("v_1")[0], mask)
        return gamma, _weighted(gamma, p)

    def _weigh(self, logits: Floats, mask: Mask) -> Floats:
        """Attention weights of the cells, 0 where there is no item."""
        if self.options.attention == "raw":
            return logits * mask
        logits = np.where(mask, logits, -np.inf)
        weights = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(weights / weights.sum(1, keepdims=True))

    def summed(self, p: Floats) -> Floats:
        """Summands of eq. (13) for the cells of one session, [length, d]: p', or p itself with `hidden` "tanh"."""
        return p @ self.by_item + self.position[: len(p)] if self.options.hidden == "linear" else p


def _weighted(weights: Floats, p: Floats) -> Floats:
    """Weighted sum over the cells, [requests, d]."""
    return np.asarray(np.matmul(weights[:, None].astype(p.dtype, copy=False), p)[:, 0])


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + e^-x); an x too small for its exponential gives 0."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)))
