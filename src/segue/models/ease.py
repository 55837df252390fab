"""EASE: item-to-item weights by a regression in which no item explains itself (Steck 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from torch import Tensor

from segue.contract.item_weights import ItemWeightsConfig, ItemWeightsModel, rows_of
from segue.contract.model import Overrides
from segue.data.corpus import Corpus
from segue.nn.incidence import add_product
from segue.nn.item_weights import bounded_ridge
from segue.settings.search_space import Between, Choice, Space


class EASEConfig(ItemWeightsConfig):
    """Options of EASE: the rows, the regularisation, and the weights kept."""


class EASE(ItemWeightsModel):
    """score(j) = Σ of B[i, j] over the distinct known items i; B minimises ‖X - X B‖² + reg ‖B‖² with B_jj = 0.

    With P = (XᵀX + reg I)⁻¹ the solution is B_ij = -P_ij / P_jj off the diagonal (eq. 8 of "Embarrassingly Shallow
    Autoencoders for Sparse Data", WWW 2019). X [rows, items] is binary: sessions or users of train.
    """

    Config = EASEConfig
    config: EASEConfig
    title: ClassVar[str] = "EASE"
    order_blind: ClassVar[bool] = True
    distinct: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Overrides]] = {
        "session": {},
        "history": {"model": {"rows": "users", "reg": 5.0, "window": {"length": 20, "history": 1000}}},
    }
    space: ClassVar[Space] = {
        "model.reg": Between(1.0, 1e4, log=True),
        "model.rows": Choice(("sessions", "users")),
    }

    def solve(self, corpus: Corpus) -> Tensor:
        """The weights B [items, items] float64."""
        train = corpus.train
        rows, _ = rows_of(train, corpus.n_items, self.config.rows, np.ones(len(train)))
        gram = np.zeros((corpus.n_items, corpus.n_items))
        add_product(gram, rows, rows)
        return bounded_ridge(gram, None, self.config.reg, bound=0.0)


Model = EASE
