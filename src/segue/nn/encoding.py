"""What a session encoder says about the events of a batch: a vector each, and the sparse parts of their scores."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Added:
    """Sparse scores of one source, added to the dense ones: ``scores[event, item] += value``; all [n].

    Sorted by event. The same (event, item) may come more than once; its values add up.
    """

    event: Tensor
    item: Tensor
    value: Tensor


@dataclass(frozen=True)
class Mixture:
    """A pointer: p(item) = exp(log_dense) · softmax(scores)(item) + Σ probability, with all weights summing to 1.

    log_dense [events]; event, item, probability [n], probabilities already times their gate.
    """

    log_dense: Tensor
    event: Tensor
    item: Tensor
    probability: Tensor


@dataclass(frozen=True)
class Encoding:
    """What a session encoder says about the events of a batch: vectors [events, dim], and the sparse parts."""

    vectors: Tensor
    added: tuple[Added, ...] = ()
    mixture: Mixture | None = None
    state: Tensor | None = None
    """Carried to the next batch by session-parallel and user-sequential models, [slots, ...]."""


@dataclass(frozen=True)
class ScoreParts:
    """A score taken apart, for k items of one event. All parts sum to the score.

    session: per term [k, prefix length]; user: per term [k]; base [k] is the rest, that of no single item or user.
    """

    session: dict[str, Tensor] = field(default_factory=dict)
    user: dict[str, Tensor] = field(default_factory=dict)
    base: Tensor = field(default_factory=lambda: torch.zeros(0))
    popularity: bool = False
    """Whether base is how popular an item is with everybody."""

    def total(self) -> Tensor:
        """The score, [k]."""
        total = self.base.clone()
        for part in self.session.values():
            total += part.sum(1)
        for part in self.user.values():
            total += part
        return total
