"""The memory of preset `segue`: recalled counts as added scores and as distributions, weighted by the event."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from segue.models.hg_gnn.config import MemorySource
from segue.models.hg_gnn.recall import Recalled
from segue.nn.encoding import Mixture

_START = 0.3
_FEATURES: dict[MemorySource, int] = {"session": 1, "history": 3, "transition": 2, "cooccurrence": 1}


class AddedMemory(nn.Module):
    """Counts as added scores: Σ_f w_f(S, q, x) · φ_f(item).

    Weights are linear in z = [S ‖ q ‖ x] and start at 0.3 whatever z is. Per source:
    session: s_r + w·1[r > 0] for the item at reversed position r (s_0 may go negative);
    history: w + w'·log(1 + count) + w''·log(1 + decayed count);
    transition: w + w'·log(1 + count);
    co-occurrence: (c_j + c'_j·log(1 + count)) of the j-th last item, times a positive gate.
    """

    def __init__(self, sources: tuple[MemorySource, ...], features: int, length: int, cooccurrence_items: int) -> None:
        super().__init__()
        self.sources = sources
        self.weight = nn.ModuleDict({source: _constant_linear(features, _FEATURES[source]) for source in sources})
        if "session" in sources:
            self.by_position = nn.Parameter(torch.zeros(length))
        if "cooccurrence" in sources:
            self.by_item = nn.Parameter(torch.full((cooccurrence_items, 2), _START))

    def forward(self, z: Tensor, recalled: Mapping[MemorySource, Recalled]) -> dict[MemorySource, Tensor]:
        """The value of every recalled entry, by source."""
        return {source: self._value(source, self.weight[source](z), recalled[source]) for source in self.sources}

    def _value(self, source: MemorySource, weight: Tensor, entries: Recalled) -> Tensor:
        log_count = entries.count.to(weight.dtype).log1p()
        if source == "session":
            return gather(self.by_position, entries.cell) + gather(weight[:, 0], entries.event) * (entries.cell > 0)
        if source == "cooccurrence":
            # softplus(w + c) with c such that the gate starts near 1.
            gate = functional.softplus(weight[:, 0] + math.log(math.expm1(1)) - _START)
            start, slope = (gather(column, entries.cell) for column in self.by_item.unbind(1))
            return gather(gate, entries.event) * (start + slope * log_count)
        value = torch.addcmul(gather(weight[:, 0], entries.event), gather(weight[:, 1], entries.event), log_count)
        if entries.decayed is not None:
            value = torch.addcmul(value, gather(weight[:, 2], entries.event), entries.decayed.to(weight.dtype).log1p())
        return value


class PointerMemory(nn.Module):
    """Counts as distributions, mixed with the softmax by a gate softmax(W z): session copy, history, transition row,
    co-occurrence. A source that recalls nothing for an event gets no share of that event."""

    def __init__(self, sources: tuple[MemorySource, ...], features: int, length: int, cooccurrence_items: int) -> None:
        super().__init__()
        self.sources = sources
        self.gate = _constant_linear(features, 1 + len(sources))
        with torch.no_grad():
            self.gate.bias[0] = 5.0  # starts as the softmax; shares are earned
        if "session" in sources:
            self.by_position = nn.Parameter(torch.zeros(length))
        if "cooccurrence" in sources:
            self.by_item = nn.Parameter(torch.zeros(cooccurrence_items))

    def forward(
        self, z: Tensor, recalled: Mapping[MemorySource, Recalled]
    ) -> tuple[Tensor, dict[MemorySource, Tensor]]:
        """Log share of the softmax [events], and the gated probability of every recalled entry, by source."""
        shares = [self._shares(source, recalled[source], z) for source in self.sources]
        totals = torch.stack([total for _, total in shares], 1)
        open_gates = torch.cat([totals.new_ones(len(z), 1), totals], 1) > 0
        log_gate = torch.log_softmax(self.gate(z).masked_fill(~open_gates, float("-inf")), 1)
        probability = {}
        tiny = torch.finfo(z.dtype).tiny
        for number, (source, (share, total)) in enumerate(zip(self.sources, shares, strict=True), start=1):
            event = recalled[source].event
            probability[source] = gather(log_gate[:, number].exp() / total.clamp(min=tiny), event) * share
        return log_gate[:, 0], probability

    def mixture(
        self, z: Tensor, recalled: Mapping[MemorySource, Recalled]
    ) -> tuple[Mixture, dict[MemorySource, Tensor]]:
        """The pointer beside the softmax, and the gated probability of every recalled entry, by source."""
        log_dense, pointed = self(z, recalled)
        mixture = Mixture(
            log_dense,
            torch.cat([recalled[s].event for s in pointed]),
            torch.cat([recalled[s].item for s in pointed]),
            torch.cat(list(pointed.values())),
        )
        return mixture, pointed

    def _shares(self, source: MemorySource, entries: Recalled, z: Tensor) -> tuple[Tensor, Tensor]:
        """Unnormalised mass of every entry and its sum per event."""
        if source == "session":
            share = gather(self.by_position.exp(), entries.cell)
        elif source == "cooccurrence":
            share = gather(self.by_item.exp(), entries.cell) * entries.count.to(z.dtype)
        elif entries.decayed is not None:
            share = entries.decayed.to(z.dtype) + torch.finfo(z.dtype).eps
        else:
            share = entries.count.to(z.dtype)
        return share, share.new_zeros(len(z)).index_add(0, entries.event, share)


def gather(values: Tensor, index: Tensor) -> Tensor:
    """Entries ``values[index]`` of a vector, with a gradient that is summed in a fixed order."""
    return values.index_select(0, index)


def _constant_linear(features: int, outputs: int) -> nn.Linear:
    """A linear map that starts as the constant 0.3 for pointers and weights alike."""
    linear = nn.Linear(features, outputs)
    nn.init.zeros_(linear.weight)
    nn.init.constant_(linear.bias, _START)
    return linear
