"""What a session encoder says about the events of a batch: a vector each, and the sparse parts of their scores."""

from __future__ import annotations

from dataclasses import dataclass

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
