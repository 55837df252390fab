"""What the linear item-item models share: the inverse of a regularised Gram matrix, and a score that sums weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor

from segue.contract.model import ModelConfig, Need, SessionModel
from segue.data.arrays import FloatArray, blocks
from segue.data.batches import Batch
from segue.data.corpus import Corpus
from segue.data.tensors import spans
from segue.errors import CorpusError
from segue.nn.encoding import ScoreParts
from segue.nn.sparse_rows import SparseRows
from segue.settings.units import Neighbours
from segue.system.limits import available_memory

_CELL = 8
_SORTED_AT_ONCE = 4_000_000
"""Cells of the weight matrix that are sorted at a time, to keep the strongest of each row."""


class LinearItemsConfig(ModelConfig):
    """Options that the linear item-item models share."""

    reg: float = Field(500.0, gt=0, le=1e12)
    """Strength of the L2 penalty on the weights (λ)."""
    kept: Neighbours = 1000
    """Weights kept per item of the session, the largest by magnitude; a catalogue of no more items keeps all."""


class Asked(NamedTuple):
    """What speaks for the next item, flat, [n]; an item may occur several times in an event."""

    event: Tensor
    item: Tensor
    weight: Tensor
    """The weight x, float64."""
    position: Tensor
    """Its position in the prefix; -1 for an item of the user's earlier sessions."""


class LinearItems(SessionModel):
    """score(j) = Σ_i x_i B[i, j]; x: the items that speak for the next one, with their weights; B: learned weights.

    An item that no train session holds ranks last.
    """

    config: LinearItemsConfig

    def __init__(self, config: LinearItemsConfig) -> None:
        super().__init__(config)
        self._weights = SparseRows.from_matrix(sparse.csr_array((0, 0)))
        self._absent = torch.zeros(0, dtype=torch.bool)

    @property
    def needs(self) -> frozenset[Need]:
        """Needs a history where it is looked at."""
        return frozenset({"history"} if self.config.window.history else ())

    @abstractmethod
    def _solve(self, corpus: Corpus) -> FloatArray:
        """The weights B, [items, items]."""

    @abstractmethod
    def _asked(self, batch: Batch) -> Asked:
        """Everything that speaks for the next item of every event."""

    def fit(self, corpus: Corpus) -> None:
        """Solve for the weights in closed form. Raises CorpusError for a catalogue that memory cannot hold squared."""
        self.n_items, self.n_users = corpus.n_items, corpus.n_users
        self._weights = strongest(self._solve(corpus), self.config.kept)
        self._absent = torch.from_numpy(corpus.item_support == 0)

    def scores(self, batch: Batch) -> Tensor:
        """Scores of all items, [events, items] float64."""
        device = batch.items.device
        scores = torch.zeros(len(batch), self.n_items, dtype=torch.float64, device=device)
        self._weights.to(device).add_to(scores, *self._asked(batch)[:3])
        return torch.where(self._absent.to(device), scores.amin(1, keepdim=True), scores)

    def parts(self, batch: Batch, items: Tensor) -> ScoreParts:
        """The weight from each item of the prefix, and the sum of those from the history."""
        asked = self._asked(batch)
        summands = self._weights.to(items.device).block(asked.item, items).t() * asked.weight
        clicked = asked.position >= 0
        session = summands.new_zeros(len(items), int(batch.position[0]) + 1)
        session.index_add_(1, asked.position[clicked], summands[:, clicked])
        user = summands[:, ~clicked].sum(1)
        return ScoreParts(
            session={"linear": session},
            user={"linear_history": user},
            base=self.scores(batch)[0, items] - session.sum(1) - user,
        )

    def arrays(self) -> dict[str, Tensor]:
        """The weights as CSR, and the items without a train session."""
        return {**self._weights.arrays(), "absent": self._absent}

    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        """Take back what :meth:`arrays` returned."""
        self._weights, self._absent = SparseRows.from_arrays(arrays), arrays["absent"]
        self.n_items, self.n_users = n_items, n_users

    def statistics(self) -> dict[str, Any]:
        """Number of weights kept."""
        return {"weights": len(self._weights.items)}


def refuse_too_many(n_items: int, matrices: int, title: str) -> None:
    """Raise CorpusError when `matrices` dense ones, [items, items] of 8 bytes per cell, exceed the usable memory."""
    wanted, there = matrices * _CELL * n_items**2, available_memory()
    if wanted > there:
        fitting = int((there / (matrices * _CELL)) ** 0.5)
        raise CorpusError(
            f"{title} solves a dense system over all items: {n_items:,} items take {wanted / 2**30:.1f} GiB, and "
            f"{there / 2**30:.1f} GiB are there; prepare the log with --set filters.top_items={fitting}"
        )


def regularised_inverse(gram: FloatArray, reg: float) -> FloatArray:
    """(G + λI)^-1 of a symmetric, positive semidefinite G, [items, items], which is overwritten."""
    gram[np.diag_indices_from(gram)] += reg
    inverse: FloatArray = torch.cholesky_inverse(torch.linalg.cholesky(torch.from_numpy(gram))).numpy()
    return inverse


def strongest(weights: FloatArray, kept: int) -> SparseRows:
    """The `kept` weights of each row that are largest by magnitude, ties by ascending item; zeros are left out."""
    parts = []
    for rows in blocks(np.full(len(weights), weights.shape[1]), _SORTED_AT_ONCE):
        block = weights[rows]
        order = np.argsort(-np.abs(block), axis=1, kind="stable")[:, :kept]
        row = np.repeat(np.arange(rows.start, rows.stop), order.shape[1])
        value = np.take_along_axis(block, order, axis=1).ravel()
        found = value != 0
        parts.append((value[found], row[found], order.ravel()[found]))
    data, row, column = (np.concatenate(column) for column in zip(*parts, strict=True))
    return SparseRows.from_matrix(sparse.coo_array((data, (row, column)), shape=weights.shape).tocsr())


def clicks(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Event, item and position of every click of every prefix, flat."""
    length = batch.position + 1
    cells, event = spans(batch.row * batch.items.shape[1], length)
    return event, batch.items.flatten()[cells], cells - (batch.row * batch.items.shape[1])[event]


def earlier_items(batch: Batch, max_items: int, n_items: int) -> tuple[Tensor, Tensor]:
    """Event and item of the last `max_items` items of the history of every event's user, each once; flat."""
    history = batch.history(max_items)
    key = torch.unique(history.row * n_items + history.items)
    length = torch.bincount(key // n_items, minlength=len(batch.user))
    cells, event = spans((torch.cumsum(length, 0) - length)[batch.row], length[batch.row])
    return event, key[cells] % n_items
