"""Scores of models whose item vectors have one coordinate, a level such as log popularity: formed only where they differ.

s(e, i) = factor_e · level_i, and more at the cells (event, item) that something is added to. Items of one level share
their score wherever nothing is added, so that sums and ranks over all items follow from the distinct levels and the
cells: the work does not grow with the number of items. In float64, since cells are taken out of sums again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from segue.data.tensors import find
from segue.nn.encoding import Encoding


class LevelScores:
    """Scores of events over all items.

    Args:
        encoding: with vectors [events, 1]. item_vectors: [items, 1].
        further: event and item of further cells, both [n].

    Attributes:
        place: the number of each of the further cells among all.
    """

    def __init__(self, encoding: Encoding, item_vectors: Tensor, further: tuple[Tensor, Tensor] | None = None) -> None:
        self._factor, self._level = encoding.vectors[:, 0].double(), item_vectors[:, 0].double()
        self.n_items = len(self._level)
        cells = [(source.event, source.item) for source in encoding.added] + ([further] if further else [])
        # An empty key says the type where there is no cell at all.
        keys = [self._key(self._level[:0].long(), self._level[:0].long()), *(self._key(*cell) for cell in cells)]
        self._keys, place = torch.unique(torch.cat(keys), return_inverse=True)
        ends = sum(len(source.item) for source in encoding.added)
        self.place = place[ends:]
        self._event = torch.div(self._keys, self.n_items, rounding_mode="floor").long()
        self._plain = self._factor.index_select(0, self._event) * self._level.index_select(0, self._keys % self.n_items)
        values = [self._factor[:0], *(source.value.double() for source in encoding.added)]
        self._score = self._plain.index_add(0, place[:ends], torch.cat(values))
        levels, items = torch.unique(self._level, return_counts=True)
        self._by_level, self._items = self._factor[:, None] * levels, items.double()

    @classmethod
    def of(cls, encoding: Encoding, item_vectors: Tensor) -> Self:
        """The scores that rank: a pointer is folded in as by :func:`segue.nn.losses.dense_scores`."""
        mixture = encoding.mixture
        if mixture is None:
            return cls(encoding, item_vectors)
        scores = cls(encoding, item_vectors, (mixture.event, mixture.item))
        mass = torch.zeros_like(scores._score).index_add_(0, scores.place, mixture.probability.double())
        of_softmax = scores.log_sum() - mixture.log_dense.double()
        pointed = of_softmax.index_select(0, scores._event) + mass.log()
        scores._score = torch.logaddexp(scores._score, pointed)
        return scores

    def log_sum(self) -> Tensor:
        """log Σ_i exp s(e, i), [events]."""
        top = self._by_level.amax(1).scatter_reduce(0, self._event, self._score, "amax").detach()
        top_of_cell = top.index_select(0, self._event)
        at_cells = (self._score - top_of_cell).exp() - (self._plain - top_of_cell).exp()
        total = ((self._by_level - top[:, None]).exp() @ self._items).index_add(0, self._event, at_cells)
        return top + total.clamp(min=torch.finfo(total.dtype).tiny).log()

    def all_finite(self) -> bool:
        """Whether no score is NaN or infinite."""
        parts = (self._factor, self._level, self._score)
        return all(bool(torch.isfinite(part).all()) for part in parts)

    def at_further(self) -> Tensor:
        """The scores of the further cells."""
        return self._score.index_select(0, self.place)

    def at(self, event: Tensor, item: Tensor) -> Tensor:
        """The scores of some cells, [n]."""
        plain = self._factor.index_select(0, event) * self._level.index_select(0, item)
        if not len(self._keys):
            return plain
        index, found = find(self._keys, self._key(event, item))
        return torch.where(found, self._score.index_select(0, index), plain)

    def ranks(self, target: Tensor) -> Tensor:
        """Conservative and standard ranks of the targets as of :mod:`segue.evaluation.metrics`, int64 [2, events]."""
        at_target = self.at(torch.arange(len(target), device=target.device), target)
        return torch.stack([self._count(torch.ge, at_target), 1 + self._count(torch.gt, at_target)])

    def _key(self, event: Tensor, item: Tensor) -> Tensor:
        """Numbers of cells; in 32 bits, which are sorted in half the time, where they are enough."""
        narrow = len(self._factor) * self.n_items < 2**31
        key = event * self.n_items + item
        return key.int() if narrow else key

    def _count(self, compare: Callable[[Tensor, Tensor], Tensor], score: Tensor) -> Tensor:
        """Number of items per event whose score passes `compare` with `score` [events]."""
        of_cell = score.index_select(0, self._event)
        gained = compare(self._score, of_cell).long() - compare(self._plain, of_cell).long()
        by_level = compare(self._by_level, score[:, None]).double() @ self._items
        return by_level.long().index_add_(0, self._event, gained)


def level_softmax_loss(encoding: Encoding, item_vectors: Tensor, target: Tensor) -> Tensor:
    """Mean over events of −log p(target) as of :func:`segue.nn.losses.softmax_loss`, for item vectors of one coordinate.

    target: [events].
    """
    event = torch.arange(len(target), device=target.device)
    scores = LevelScores(encoding, item_vectors, (event, target))
    log_target = scores.at_further() - scores.log_sum()
    mixture = encoding.mixture
    if mixture is not None:
        hit = (mixture.item == target.index_select(0, mixture.event)).nonzero().squeeze(1)
        p = (mixture.log_dense.double() + log_target).exp()
        p = p.index_add(0, mixture.event.index_select(0, hit), mixture.probability.double().index_select(0, hit))
        log_target = p.clamp(min=torch.finfo(p.dtype).tiny).log()
    return -log_target.sum().to(encoding.vectors.dtype) / max(len(target), 1)
