"""EASE: a linear item-item model in closed form (Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from scipy import sparse

from segue.contract.model import Overrides
from segue.data.arrays import FloatArray
from segue.data.batches import Batch, Window
from segue.data.corpus import Corpus
from segue.models._linear_items import (
    Asked,
    LinearItems,
    LinearItemsConfig,
    clicks,
    earlier_items,
    refuse_too_many,
    regularised_inverse,
)
from segue.settings.search_space import Between, Choice, Space

_MATRICES = 3
"""Dense matrices that the solution holds at a time: the Gram matrix, its factor, the inverse."""


class EaseConfig(LinearItemsConfig):
    """Options of EASE."""

    window: Window = Window(length=1000)
    """Items of the running session, and of the user's earlier sessions, that speak for the next one."""
    rows: Literal["sessions", "users"] = "sessions"
    """What a row of the training matrix is: a session, or a user with all train sessions."""


class Ease(LinearItems):
    """score(j) = Σ over the distinct items i of prefix and history of B[i, j].

    B minimises ||X - XB||² + λ ||B||² with a diagonal of zeros; X [rows, items] says which item a row holds.
    P = (XᵀX + λI)^-1; B = I - P · diag(1 / P_jj)   (eq. 8 of the paper).
    """

    Config = EaseConfig
    config: EaseConfig
    title: ClassVar[str] = "EASE"
    order_blind: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Overrides]] = {
        "session": {},
        "history": {"model": {"rows": "users", "reg": 5.0, "window": {"history": 1000}}},
    }
    space: ClassVar[Space] = {
        "model.reg": Between(0.5, 5000.0, log=True),
        "model.rows": Choice(("sessions", "users")),
    }

    def _solve(self, corpus: Corpus) -> FloatArray:
        refuse_too_many(corpus.n_items, _MATRICES, self.title)
        train = corpus.train
        session = np.repeat(np.arange(len(train)), train.lengths)
        row = train.user.astype(np.int64)[session] if self.config.rows == "users" else session
        cells = (np.ones(len(row)), (row, train.items))
        x = sparse.coo_array(cells, shape=(int(row.max()) + 1, corpus.n_items)).tocsr()
        x.data[:] = 1.0
        weights = regularised_inverse((x.T @ x).toarray(), self.config.reg)
        weights /= -np.diag(weights).copy()
        np.fill_diagonal(weights, 0.0)
        return weights

    def _asked(self, batch: Batch) -> Asked:
        clicked, item, position = clicks(batch)
        remembered, earlier = earlier_items(batch, self.config.window.history, self.n_items)
        found = torch.cat([clicked, remembered]) * self.n_items + torch.cat([item, earlier])
        key, place = torch.unique(found, return_inverse=True)
        last = torch.full_like(key, -1)
        last.scatter_reduce_(0, place[: len(position)], position, "amax")
        weight = torch.ones(len(key), dtype=torch.float64, device=key.device)
        return Asked(key // self.n_items, key % self.n_items, weight, last)


Model = Ease
