"""The output of a session encoder for the events of a batch: one vector per event, and sparse parts of the scores."""

from __future__ import annotations

from collections.abc import Mapping
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
    """Output of a session encoder for a batch: vectors [events, dim], and the sparse parts of the scores."""

    vectors: Tensor
    added: tuple[Added, ...] = ()
    mixture: Mixture | None = None
    state: Tensor | None = None
    """State that session-parallel and user-sequential models carry to the next batch, [slots, ...]."""


@dataclass(frozen=True)
class Attention:
    """How a model weighs the items of one session, the oldest first; a term that it does without is None.

    current, general: weight of each item in the current and in the general preference. gate: share of the current
    preference in each coordinate of their sum; None where there is only one of them.
    """

    current: list[float] | None
    general: list[float] | None
    gate: list[float] | None


@dataclass(frozen=True)
class ScoreParts:
    """The parts of the scores of k items for one event. All parts sum to the score.

    session: per term [k, prefix length]; user: per term [k]; everybody: per term [k], what all users do; base [k]: the
    rest, of no single click or user. words: what a term says of an item that it recommends, by its name.
    """

    session: dict[str, Tensor] = field(default_factory=dict)
    user: dict[str, Tensor] = field(default_factory=dict)
    base: Tensor = field(default_factory=lambda: torch.zeros(0))
    popularity: bool = False
    """Whether `base` is the popularity of the items with everybody."""
    everybody: dict[str, Tensor] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    def total(self) -> Tensor:
        """Sum of all parts, which is the score, [k]."""
        total = self.base.clone()
        for part in self.session.values():
            total += part.sum(1)
        for part in (*self.user.values(), *self.everybody.values()):
            total += part
        return total
