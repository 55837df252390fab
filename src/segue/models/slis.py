"""SLIS: a linear item-item model of whole sessions, recent ones first (Choi et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from segue.contract.item_weights import SessionAwareConfig, SessionAwareModel
from segue.contract.model import Overrides
from segue.data.corpus import Corpus
from segue.nn.incidence import add_product, normalised, of_sessions, scaled
from segue.nn.item_weights import bounded_ridge
from segue.settings.search_space import Between, Choice, Space


class SLISConfig(SessionAwareConfig):
    """Options of SLIS: beside those of the rows, the bound of the diagonal."""

    bound: float = Field(10.0, ge=0, le=1e9)
    """Largest weight ξ of an item for itself; with 0 no item explains itself."""


class SLIS(SessionAwareModel):
    """score(j) = Σ over the known clicks of exp(-r / recent_items) B[i, j]; r: clicks after it.

    B minimises Σ_s exp(-age_s / recent) ‖x_s - x'_s B‖² + reg ‖B‖² with B_jj ≤ bound ("Session-aware Linear Item-Item
    Models for Session-based Recommendation", WWW 2021). x_s says which items session s holds; x'_s is x_s over its sum
    if `normalise`, as in github.com/jin530/SLIST (629400a); in the paper it is x_s.
    """

    Config = SLISConfig
    config: SLISConfig
    title: ClassVar[str] = "SLIS"
    order_blind: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Overrides]] = {
        "session": {"model": {"recent_items": 3.0}},
        "history": {"model": {"reg": 1.0, "window": {"length": 20, "history": 1000}}},
    }
    space: ClassVar[Space] = {
        "model.reg": Between(1.0, 1e4, log=True),
        "model.bound": Choice((0.0, 0.5, 1.0, 10.0)),
        "model.normalise": Choice((True, False)),
        "model.recent": Choice(("1d", "4d", "16d", "64d", "256d")),
        "model.recent_items": Between(0.5, 100.0, log=True),
    }

    def solve(self, corpus: Corpus) -> Tensor:
        """The weights B [items, items] float64."""
        config, shape = self.config, (corpus.n_items, corpus.n_items)
        target = of_sessions(corpus.train, corpus.n_items, binary=True)
        given = normalised(target) if config.normalise else target
        weighted = scaled(given, self.row_weights(corpus.train))
        gram = np.zeros(shape)
        add_product(gram, weighted, given)
        if not config.normalise:
            return bounded_ridge(gram, None, config.reg, config.bound)
        cross = np.zeros(shape)
        add_product(cross, weighted, target)
        return bounded_ridge(gram, cross, config.reg, config.bound)


Model = SLIS
