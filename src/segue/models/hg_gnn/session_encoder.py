"""The personalised session encoder, eq. (9)-(18)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from segue.data.batches import Prefixes

Attention = Literal["softmax", "raw"]
Hidden = Literal["linear", "tanh"]
Gate = Literal["vector", "scalar"]


class Reading(NamedTuple):
    """Result of reading a session: S and its parts.

    session, current, general [events, d]: S, C, O. alpha, gamma [events, length]: attention weights, 0 where padded.
    gate [events, d]: α_c. session = gate * current + (1 - gate) * general.
    """

    session: Tensor
    current: Tensor
    general: Tensor
    alpha: Tensor
    gamma: Tensor
    gate: Tensor


class PersonalisedSessionEncoder(nn.Module):
    """Encoder from refined item vectors p and user vectors q to the session preference S.

    Linear maps are applied once per distinct item and then gathered, with `embedding`: unlike indexing, its gradient
    is a sum in a fixed order. Three places have a second reading, that of the authors' published code: `attention`,
    `hidden` and `gate`, see :class:`segue.models.hg_gnn.config.HGGNNConfig`.
    """

    def __init__(
        self,
        dim: int,
        length: int,
        *,
        current: bool,
        general: bool,
        user: bool,
        attention: Attention = "softmax",
        hidden: Hidden = "linear",
        gate: Gate = "vector",
    ) -> None:
        super().__init__()
        self.use_current, self.use_general, self.use_user = current, general, user
        self.weigh = masked_softmax if attention == "softmax" else masked
        self.hidden = hidden
        if current:
            self.position = nn.Embedding(length, dim)
            self.w_c = nn.Linear(2 * dim, dim, bias=False)
            self.w_0, self.w_1 = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim)
            self.v_0 = nn.Linear(dim, 1, bias=False)
        if general:
            self.w_2 = nn.Linear(dim, dim)
            self.w_3 = nn.Linear(dim, dim, bias=False) if user else None
            self.v_1 = nn.Linear(dim, 1, bias=False)
            if hidden == "tanh":
                self.w_g = nn.Linear(dim, dim, bias=False)
        if current and general:
            self.w_s = nn.Linear(2 * dim, dim, bias=False) if gate == "vector" else nn.Linear(2 * dim, 1)

    def forward(self, p: Tensor, q: Tensor, alias: Tensor, prefixes: Prefixes) -> Reading:
        """Read every prefix.

        Args:
            p: refined vectors of the batch's distinct items [n, d]. q: of each event's user [events, d].
            alias: row of `p` for each cell [events, length].
        """
        zeros = torch.zeros_like(q)
        nothing = torch.zeros_like(prefixes.mask, dtype=q.dtype)
        current, alpha = self._current(p, alias, prefixes) if self.use_current else (zeros, nothing)
        general, gamma = self._general(p, q, alias, prefixes.mask) if self.use_general else (zeros, nothing)
        if self.use_current and self.use_general:
            gate = torch.sigmoid(self.w_s(torch.cat([current, general], 1))).expand_as(q)
        else:
            gate = torch.full_like(q, float(self.use_current))
        return Reading(gate * current + (1 - gate) * general, current, general, alpha, gamma, gate)

    def _current(self, p: Tensor, alias: Tensor, prefixes: Prefixes) -> tuple[Tensor, Tensor]:
        """Current preference C and attention α, eq. (9)-(13)."""
        item, position = self.positioned(p)
        mask = prefixes.mask[..., None]
        placed = summed = (embedding(alias, item) + embedding(prefixes.reversed_position, position)) * mask
        if self.hidden == "linear":
            hidden = embedding(alias, self.w_0(item)) + embedding(prefixes.reversed_position, self.w_0(position))
        else:
            hidden, summed = self.w_0(torch.tanh(placed)), embedding(alias, p) * mask
        mean = summed.sum(1) / mask.sum(1).clamp(min=1)
        hidden = hidden + self.w_1(mean)[:, None]
        alpha = self.weigh(self.v_0(torch.sigmoid(hidden)).squeeze(-1), prefixes.mask)
        return torch.einsum("el,eld->ed", alpha, summed), alpha

    def summed(self, p: Tensor, alias: Tensor, reversed_position: Tensor) -> Tensor:
        """Summands of eq. (13) for the cells of one event, [length, d]: p', or p itself with `hidden` "tanh"."""
        if self.hidden == "tanh":
            return p[alias]
        item, position = self.positioned(p)
        return item[alias] + position[reversed_position]

    def positioned(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """Item part and position part of p' = item part + position part, eq. (9); [n, d] and [length, d]."""
        by_item, by_position = self.w_c.weight.chunk(2, dim=1)
        return p @ by_item.t(), self.position.weight @ by_position.t()

    def _general(self, p: Tensor, q: Tensor, alias: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """General preference O and attention γ, eq. (14)-(16); O is a sum of raw p, not of p'."""
        hidden = embedding(alias, self.w_2(p if self.hidden == "linear" else torch.tanh(self.w_g(p))))
        if self.w_3 is not None:
            hidden = hidden + self.w_3(q)[:, None]
        gamma = self.weigh(self.v_1(torch.sigmoid(hidden)).squeeze(-1), mask)
        return torch.einsum("el,eld->ed", gamma, embedding(alias, p)), gamma


def masked(logits: Tensor, mask: Tensor) -> Tensor:
    """Logits where `mask`, 0 elsewhere."""
    return logits.masked_fill(~mask, 0)


def masked_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last axis where `mask`; 0 elsewhere, and all 0 where nothing is left."""
    logits = logits.masked_fill(~mask, float("-inf"))
    top = logits.amax(-1, keepdim=True).clamp(min=torch.finfo(logits.dtype).min)
    weights = (logits - top).exp()
    return weights / weights.sum(-1, keepdim=True).clamp(min=torch.finfo(logits.dtype).tiny)
