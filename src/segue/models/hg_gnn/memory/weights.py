"""How far counts are believed: as added scores and as distributions, weighted by the event."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from segue.contract.memory_sources import TABLE, MemorySource
from segue.models.hg_gnn.memory.entries import Recalled
from segue.nn.encoding import Mixture

_START = 0.1
_FOR_SOFTMAX = 2.0
"""What the gate of the softmax starts with: counts earn their shares."""


class AddedMemory(nn.Module):
    """Counts as added scores: Σ_f [w_f(z) log(1 + c_f f(i)) + w'_f(z) 1[f(i) > 0]].

    The weights are linear in z = [S ‖ q ‖ x] and start at 0.1 whatever z is.
    """

    def __init__(self, sources: tuple[MemorySource, ...], features: int) -> None:
        super().__init__()
        self.sources = sources
        self.weight = constant_linear(features, 2 * len(sources), _START)

    def forward(self, z: Tensor, recalled: Mapping[MemorySource, Recalled]) -> dict[MemorySource, Tensor]:
        """The value of every recalled item, by source."""
        weights = self.weight(z).t()
        return {
            source: torch.addcmul(
                gather(weights[2 * number + 1], recalled[source].event),
                gather(weights[2 * number], recalled[source].event),
                torch.log1p(TABLE[source].scale * recalled[source].value).to(z.dtype),
            )
            for number, source in enumerate(self.sources)
        }


class PointerMemory(nn.Module):
    """Counts as distributions f(i) / Σ f, mixed with the softmax by a gate softmax(W z + b). A source that recalls
    nothing for an event gets no share of that event."""

    def __init__(self, sources: tuple[MemorySource, ...], features: int) -> None:
        super().__init__()
        self.sources = sources
        self.gate = constant_linear(features, 1 + len(sources), 0.0)
        with torch.no_grad():
            self.gate.bias[0] = _FOR_SOFTMAX

    def forward(
        self, z: Tensor, recalled: Mapping[MemorySource, Recalled]
    ) -> tuple[Tensor, dict[MemorySource, Tensor]]:
        """Log share of the softmax [events], and the gated probability of every recalled item, by source."""
        totals = [_total(recalled[source], len(z)) for source in self.sources]
        # Recalled values are above zero: a total of zero is of a source that is silent.
        closed = torch.stack([torch.ones_like(totals[0]), *totals], 1) == 0
        log_gate = torch.log_softmax(self.gate(z).masked_fill(closed, float("-inf")), 1)
        probability = {
            source: gather(log_gate[:, number].exp(), recalled[source].event) * _share(recalled[source], total, z.dtype)
            for number, (source, total) in enumerate(zip(self.sources, totals, strict=True), start=1)
        }
        return log_gate[:, 0], probability

    def mixture(
        self, z: Tensor, recalled: Mapping[MemorySource, Recalled]
    ) -> tuple[Mixture, dict[MemorySource, Tensor]]:
        """The pointer beside the softmax, and the gated probability of every recalled item, by source."""
        log_dense, pointed = self(z, recalled)
        mixture = Mixture(
            log_dense,
            torch.cat([recalled[s].event for s in pointed]),
            torch.cat([recalled[s].item for s in pointed]),
            torch.cat(list(pointed.values())),
        )
        return mixture, pointed


def _total(recalled: Recalled, n_events: int) -> Tensor:
    """Σ f of each event, [events]; float64, since what has decayed for years is small but still a share."""
    return recalled.value.new_zeros(n_events).index_add(0, recalled.event, recalled.value)


def _share(recalled: Recalled, total: Tensor, dtype: torch.dtype) -> Tensor:
    """f(i) / Σ f of every recalled item."""
    return (recalled.value / gather(total, recalled.event)).to(dtype)


def gather(values: Tensor, index: Tensor) -> Tensor:
    """Entries ``values[index]`` of a vector, with a gradient that is summed in a fixed order."""
    return values.index_select(0, index)


def constant_linear(features: int, outputs: int, start: float) -> nn.Linear:
    """A linear map that starts as a constant."""
    linear = nn.Linear(features, outputs)
    nn.init.zeros_(linear.weight)
    nn.init.constant_(linear.bias, start)
    return linear
