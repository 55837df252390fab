"""EASE: item-to-item weights by a regression in which no item explains itself (Steck 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from scipy import sparse
from torch import Tensor

from segue.contract.item_weights import ItemWeightsConfig, ItemWeightsModel
from segue.contract.model import Overrides
from segue.data.corpus import Corpus, Sessions
from segue.nn.incidence import add_product, incidence, of_sessions
from segue.nn.item_weights import bounded_ridge
from segue.settings.search_space import Between, Choice, Space


class EASEConfig(ItemWeightsConfig):
    """Options of EASE: beside regularisation and the weights kept, what a row is and how its items count."""

    rows: Literal["sessions", "users"] = "sessions"
    """Rows whose items go together: sessions, or all train sessions of a user as one."""
    binary: bool = True
    """Whether an item counts once per row, and once per event; false: as often as it was clicked."""


class EASE(ItemWeightsModel):
    """score(j) = Σ over the known items i of x_i B[i, j]; B minimises ‖X - X B‖² + reg ‖B‖² with B_jj = 0.

    With P = (XᵀX + reg I)⁻¹ the solution is B_ij = -P_ij / P_jj off the diagonal ("Embarrassingly Shallow Autoencoders
    for Sparse Data", WWW 2019). X [rows, items] and x [items] say which items a row of train, and an event, know; how
    often, unless `binary`.
    """

    Config = EASEConfig
    config: EASEConfig
    title: ClassVar[str] = "EASE"
    order_blind: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Overrides]] = {
        "session": {},
        # Counts, since with a zero diagonal only the other items of a user can speak for what is clicked again.
        "history": {"model": {"rows": "users", "binary": False, "reg": 5.0, "window": {"length": 20, "history": 1000}}},
    }
    space: ClassVar[Space] = {
        "model.reg": Between(1.0, 1e4, log=True),
        "model.rows": Choice(("sessions", "users")),
        "model.binary": Choice((True, False)),
    }

    @property
    def distinct(self) -> bool:
        """Whether every known item of an event counts once, however often it was clicked."""
        return self.config.binary

    def solve(self, corpus: Corpus) -> Tensor:
        """The weights B [items, items] float64."""
        gram = np.zeros((corpus.n_items, corpus.n_items))
        rows = self._rows(corpus.train, corpus.n_items)
        add_product(gram, rows, rows)
        return bounded_ridge(gram, None, self.config.reg, bound=0.0)

    def _rows(self, train: Sessions, n_items: int) -> sparse.csr_array:
        """The rows X [rows, items]; a session without a user is a user of its own."""
        if self.config.rows == "sessions":
            return of_sessions(train, n_items, binary=self.config.binary)
        users, row = np.unique(train.user, return_inverse=True)
        matrix = incidence(np.repeat(row, train.lengths), train.items, (len(users), n_items))
        if self.config.binary:
            matrix.data[:] = 1.0
        return matrix


Model = EASE
