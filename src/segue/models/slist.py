"""SLIST: a linear item-item model of whole sessions and of what follows what in them (Choi et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy import sparse
from torch import Tensor

from segue.contract.item_weights import SessionAwareConfig, SessionAwareModel
from segue.contract.model import Overrides
from segue.data.arrays import PAIRS_PER_BLOCK, FloatArray, IntArray, blocks, spans
from segue.data.corpus import Corpus, Sessions
from segue.nn.incidence import add_product, incidence, normalised, of_sessions, scaled
from segue.nn.item_weights import bounded_ridge
from segue.settings.search_space import Between, Choice, Space
from segue.settings.units import Places


class SLISTConfig(SessionAwareConfig):
    """Options of SLIST: beside those of the rows, the share of similarity, and the weights of past and future."""

    share: float = Field(0.8, ge=0, le=1)
    """Share α of whole sessions, as in SLIS, beside past and future, SLIT: 0: SLIT alone, 1: SLIS without a bound."""
    past: Literal["all", "last"] = "last"
    """What is known of a train session at a position: all items up to there, or the last of them alone. The paper has
    "all", and its published settings "last"."""
    near: Places | None = 1.0
    """Distance, in positions, over which the items of past and future lose weight by e. Unset: all weigh alike."""


class SLIST(SessionAwareModel):
    """score(j) = Σ over the known clicks of exp(-r / recent_items) B[i, j]; r: clicks after it.

    B minimises α Σ_s ω_s ‖x_s - x'_s B‖² + (1 - α) Σ_{s,t} ω_s ‖f_st - p'_st B‖² + reg ‖B‖² ("Session-aware
    Linear Item-Item Models for Session-based Recommendation", WWW 2021), α = share, ω_s = exp(-age_s / recent).

    x_s says which items session s holds. For every position t of session s but the last, the past p_st sums
    exp(-d / near) of the items at distance d up to t, and the future f_st of those after t, d from t + 1; each of at
    most window.length items. Inputs x', p' are divided by their sums if `normalise`, as in github.com/jin530/SLIST
    (629400a).
    """

    Config = SLISTConfig
    config: SLISTConfig
    title: ClassVar[str] = "SLIST"
    order_blind: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Overrides]] = {
        "session": {"model": {"recent_items": 3.0}},
        "slit": {"model": {"share": 0.0, "recent_items": 3.0}},
        "history": {"model": {"reg": 1.0, "window": {"length": 20, "history": 1000}}},
    }
    space: ClassVar[Space] = {
        "model.reg": Between(1.0, 1e4, log=True),
        "model.share": Between(0.0, 1.0),
        "model.past": Choice(("all", "last")),
        "model.near": Between(0.25, 16.0, log=True),
        "model.recent": Choice(("1d", "4d", "16d", "64d", "256d")),
        "model.recent_items": Between(0.5, 100.0, log=True),
    }
    spaces: ClassVar[Mapping[str, Space]] = {
        "slit": {key: values for key, values in space.items() if key != "model.share"}
    }

    def solve(self, corpus: Corpus) -> Tensor:
        """The weights B [items, items] float64."""
        config, train, shape = self.config, corpus.train, (corpus.n_items, corpus.n_items)
        gram, cross = np.zeros(shape), np.zeros(shape)
        weight = self.row_weights(train)
        if config.share > 0:
            whole = of_sessions(train, corpus.n_items, binary=True)
            self._add(gram, cross, whole, whole, config.share * weight)
        if config.share < 1:
            for past, future, session in _partial(train, corpus.n_items, config):
                self._add(gram, cross, past, future, (1 - config.share) * weight[session])
        return bounded_ridge(gram, cross, config.reg, bound=None)

    def _add(
        self, gram: FloatArray, cross: FloatArray, given: sparse.csr_array, target: sparse.csr_array, weight: FloatArray
    ) -> None:
        """Add some rows of the regression, with their weights, to the products of inputs with inputs and targets."""
        given = normalised(given) if self.config.normalise else given
        weighted = scaled(given, weight)
        add_product(gram, weighted, given)
        add_product(cross, weighted, target)


def _partial(
    sessions: Sessions, n_items: int, config: SLISTConfig
) -> Iterator[tuple[sparse.csr_array, sparse.csr_array, IntArray]]:
    """Past and future [rows, items] at every position of a session but its last, and the session of each; in blocks."""
    reach = config.window.length
    lengths = sessions.lengths
    for block in blocks(lengths * np.minimum(lengths, reach), PAIRS_PER_BLOCK):
        session = np.repeat(np.arange(block.start, block.stop), lengths[block] - 1)
        rows = np.repeat(sessions.offsets[block], lengths[block] - 1)
        first = np.cumsum(lengths[block] - 1) - (lengths[block] - 1)
        place = np.arange(len(session)) - np.repeat(first, lengths[block] - 1)
        here, until = rows + place, sessions.offsets[session + 1]
        before = np.minimum(place + 1, 1 if config.past == "last" else reach)
        after = np.minimum(until - here - 1, reach)
        past = _weighted(sessions, here + 1 - before, before, here, n_items, config.near)
        future = _weighted(sessions, here + 1, after, here + 1, n_items, config.near)
        yield past, future, session


def _weighted(
    sessions: Sessions, start: IntArray, length: IntArray, centre: IntArray, n_items: int, near: float | None
) -> sparse.csr_array:
    """Rows [rows, items] of the events start .. start + length - 1 of each, by their distance from the centre."""
    cells, row = spans(start, length)
    distance = np.abs(cells - centre[row])
    weight = np.ones(len(cells)) if near is None else np.exp(-distance / near)
    return incidence(row, sessions.items[cells], (len(start), n_items), weight)


Model = SLIST
