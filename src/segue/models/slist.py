"""SLIST and SLIT: session-aware linear item-item models in closed form (Choi et al. 2021, WWW)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from pydantic import Field
from scipy import sparse

from segue.contract.model import Need, Overrides
from segue.data.arrays import PAIRS_PER_BLOCK, FloatArray, IntArray, blocks, spans
from segue.data.batches import Batch, Window
from segue.data.corpus import Corpus, Sessions
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
from segue.settings.units import Duration, milliseconds

_MATRICES = 5
"""Dense matrices that the solution holds at a time: Gram matrix, factor, inverse, targets, weights."""
_TINY = 1e-300
"""Least sum of the weights of a row, so that none is divided by zero."""


class SlistConfig(LinearItemsConfig):
    """Options of SLIST, and of SLIT, which is SLIST with alpha 0."""

    window: Window = Window(length=20)
    """Items of the running session, and of the user's earlier sessions, that speak for the next one. A longer train
    session is cut to its last `length` items, too."""
    reg: float = Field(10.0, gt=0, le=1e12)
    """Strength of the L2 penalty on the weights (λ)."""
    alpha: float = Field(0.2, ge=0, le=1)
    """Share of the loss that whole sessions have (SLIS); the rest is of the successions inside them (SLIT)."""
    own: float = Field(10.0, ge=0, le=1e6)
    """Largest weight from an item to itself (ξ of the paper); 0 forbids to recommend the items of the session."""
    near: float = Field(1.0, gt=0, le=1e6)
    """Positions after which the weight of an item in a train session has fallen to 1/e, before and after the cut."""
    recent: float = Field(1.0, gt=0, le=1e6)
    """Clicks after which the weight of an item in the running session has fallen to 1/e."""
    session_age: Duration | None = None
    """Age, at the end of train, at which the weight of a train session has fallen to 1/e. Unset: all weigh alike."""
    history_weight: float = Field(0.0, ge=0, le=1e6)
    """Weight of each distinct item of the user's earlier sessions, beside 1 for the last click."""


class Slist(LinearItems):
    """score(j) = Σ over the clicks of exp(-r / recent) B[i, j] + history_weight · Σ over earlier items of B[i, j].

    r: clicks after this one. B minimises, over B with diagonal ≤ ξ,
    α ||W_f (X - XB)||² + (1 - α) ||W_p (T - SB)||² + λ ||B||²   (eq. 10 of the paper),

    X [sessions, items]: which item a session holds. S and T: for every place where a session can be cut, the items
    before it with weights exp(-clicks to the cut / near), and those after it likewise. Rows of X and S that weigh into
    the inputs sum to 1, as in the authors' program; W: sqrt(exp(-age / session_age)).
    B̂ = P (α XᵀW²X + (1 - α) SᵀW²T), P = (α XᵀW²X + (1 - α) SᵀW²S + λI)^-1; B = B̂ - P diag(max(0, (B̂_jj - ξ) / P_jj)).
    """

    Config = SlistConfig
    config: SlistConfig
    title: ClassVar[str] = "SLIST"
    presets: ClassVar[Mapping[str, Overrides]] = {
        "session": {},
        "slit": {"model": {"alpha": 0.0}},
        "history": {"model": {"history_weight": 0.1, "window": {"history": 1000}}},
    }
    space: ClassVar[Space] = {
        "model.reg": Between(0.1, 1000.0, log=True),
        "model.alpha": Between(0.0, 1.0),
        "model.near": Between(0.2, 20.0, log=True),
        "model.recent": Between(0.2, 20.0, log=True),
        "model.session_age": Choice(("1d", "7d", "30d", "365d")),
    }
    spaces: ClassVar[Mapping[str, Space]] = {
        "slit": {key: values for key, values in space.items() if key != "model.alpha"},
        "history": {**space, "model.history_weight": Between(0.01, 1.0, log=True)},
    }

    @property
    def needs(self) -> frozenset[Need]:
        """Needs a history where it is weighed, and times where sessions age."""
        asked: dict[Need, object] = {"history": self.config.history_weight, "time": self.config.session_age}
        return frozenset(need for need, wanted in asked.items() if wanted)

    def _solve(self, corpus: Corpus) -> FloatArray:
        refuse_too_many(corpus.n_items, _MATRICES, self.title)
        gram, target = (np.zeros((corpus.n_items, corpus.n_items)) for _ in range(2))
        for sessions in _blocks(_cut(corpus.train, self.config.window.length)):
            age = corpus.train.times.max() - sessions.times[sessions.offsets[1:] - 1]
            fallen = age / milliseconds(self.config.session_age) if self.config.session_age else 0.0 * age
            for share, rows in ((self.config.alpha, _whole), (1 - self.config.alpha, _split)):
                before, after = rows(sessions, self.config.near)
                weight = share * np.exp(-fallen)[before.session]
                inputs = before.matrix(corpus.n_items)
                inputs = sparse.diags_array(1 / np.maximum(inputs.sum(axis=1), _TINY)) @ inputs
                weighted = (sparse.diags_array(weight) @ inputs).T.tocsr()
                _add(gram, weighted @ inputs)
                _add(target, weighted @ after.matrix(corpus.n_items))
        inverse = regularised_inverse(gram, self.config.reg)
        weights: FloatArray = inverse @ target
        weights -= inverse * (np.maximum(np.diag(weights) - self.config.own, 0.0) / np.diag(inverse))
        return weights

    def _asked(self, batch: Batch) -> Asked:
        event, item, position = clicks(batch)
        weight = torch.exp((position - batch.position[event]).double() / self.config.recent)
        if not self.config.history_weight:
            return Asked(event, item, weight, position)
        remembered, earlier = earlier_items(batch, self.config.window.history, self.n_items)
        return Asked(
            torch.cat([event, remembered]),
            torch.cat([item, earlier]),
            torch.cat([weight, weight.new_full((len(earlier),), self.config.history_weight)]),
            torch.cat([position, torch.full_like(earlier, -1)]),
        )


class _Rows(NamedTuple):
    """Rows of a training matrix as flat cells, [n]: row, item, weight; and the session of each row, [rows]."""

    row: IntArray
    items: IntArray
    weight: FloatArray
    session: IntArray

    def matrix(self, n_items: int) -> sparse.csr_array:
        """The rows, [rows, items]; weights of one item in one row are added up."""
        cells = (self.weight, (self.row, self.items))
        matrix: sparse.csr_array = sparse.coo_array(cells, shape=(len(self.session), n_items)).tocsr()
        return matrix


def _cut(sessions: Sessions, length: int) -> Sessions:
    """The last `length` events of every session."""
    after = np.repeat(sessions.offsets[1:], sessions.lengths) - np.arange(len(sessions.items))
    return sessions.keep_events(after <= length, 1)


def _blocks(sessions: Sessions) -> Iterator[Sessions]:
    """Groups of sessions whose rows have a bounded number of cells."""
    for chosen in blocks(sessions.lengths**2, PAIRS_PER_BLOCK):
        yield sessions.take(np.arange(chosen.start, chosen.stop))


def _whole(sessions: Sessions, near: float) -> tuple[_Rows, _Rows]:
    """X twice: a row per session with the items that it holds, each once."""
    session = np.repeat(np.arange(len(sessions)), sessions.lengths)
    n_items = int(sessions.items.max()) + 1
    held = np.unique(session * n_items + sessions.items)
    rows = _Rows(held // n_items, held % n_items, np.ones(len(held)), np.arange(len(sessions)))
    return rows, rows


def _split(sessions: Sessions, near: float) -> tuple[_Rows, _Rows]:
    """S and T: a row per place where a session can be cut, with the items before and after it."""
    cut, session = spans(sessions.offsets[:-1] + 1, sessions.lengths - 1)
    first, end = sessions.offsets[session], sessions.offsets[session + 1]
    before, row_before = spans(first, cut - first)
    after, row_after = spans(cut, end - cut)
    return (
        _Rows(
            row_before, sessions.items[before].astype(np.int64), np.exp(-(cut[row_before] - 1 - before) / near), session
        ),
        _Rows(row_after, sessions.items[after].astype(np.int64), np.exp(-(after - cut[row_after]) / near), session),
    )


def _add(dense: FloatArray, summand: sparse.csr_array) -> None:
    """Add a sparse matrix in place; its cells are distinct."""
    cells = summand.tocoo()
    dense[cells.row, cells.col] += cells.data


Model = Slist
