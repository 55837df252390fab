"""Item-KNN: items that share sessions (Sarwar et al. 2001; session form as in Hidasi et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor

from segue.contract.model import ModelConfig, Overrides, SessionModel
from segue.data.arrays import PAIRS_PER_BLOCK, FloatArray, IntArray, blocks, offsets_of
from segue.data.batches import Batch, Window
from segue.data.corpus import Corpus, Sessions
from segue.data.stored import Layout
from segue.data.tensors import spans
from segue.nn.encoding import ScoreParts
from segue.nn.popularity import relative_popularity
from segue.nn.sparse_rows import SparseRows
from segue.settings.search_space import Between, Choice, Space
from segue.settings.units import Neighbours

DIGITS = 12


class ItemKNNConfig(ModelConfig):
    """Options of Item-KNN: the similarity, and how the similarities of several items combine."""

    window: Window = Window(length=20)
    """Items of the running session that are looked at."""
    n_sims: Neighbours = 100
    """Neighbours kept per item; use no fewer than the longest list of recommendations."""
    lam: float = Field(20.0, ge=0, le=1e9)
    """Shrinkage, which lowers the similarity of rare items."""
    a: float = Field(0.5, ge=0, le=1)
    """Exponent of the support of item i; 0.5 with lam 0 is the cosine, 1 the confidence of the rule i → j."""
    mode: Literal["last", "sum", "decay"] = "sum"
    """Items of the prefix that count: the last; all alike; all, each with w times the weight of the one after it."""
    w: float = Field(0.5, gt=0, le=1)
    """Weight of an item in mode "decay", as a share of the weight of the item after it."""
    binary: bool = True
    """Whether an item counts once per session; false: every pair of events counts, over the support in events."""
    official_count: bool = False
    """Whether C counts as the program of Hidasi et al. (2016) does, whatever `binary` says: item i as often as it
    occurs, item j once per session, over the support in events. Differs only where sessions repeat items."""
    fill: Literal["none", "popularity"] = "none"
    """Ranking of items without similarity: "popularity" puts them below all others, by train popularity."""


class ItemKNN(SessionModel):
    """score(j) = Σ over the prefix of weight · sim(v_i, j); sim = C / ((supp_i + lam)^a (supp_j + lam)^(1 - a)).

    C counts the train sessions in which both occur, unless `binary` or `official_count` says otherwise; sim(i, i) = 0.
    Of each row the n_sims largest stay, ties by ascending item.
    """

    Config = ItemKNNConfig
    config: ItemKNNConfig
    title: ClassVar[str] = "Item-KNN"
    order_blind: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Overrides]] = {
        "session": {},
        # The form behind the published numbers: cosine to the last item.
        "public": {"model": {"mode": "last", "lam": 0.0}},
        # The defaults of github.com/hidasib/GRU4Rec and, the same, of github.com/rn5l/session-rec (5dcd583).
        "official": {"model": {"mode": "last", "lam": 20.0, "a": 0.5, "n_sims": 100, "official_count": True}},
    }
    space: ClassVar[Space] = {
        "model.lam": Choice((0.0, 5.0, 20.0, 50.0, 80.0)),
        "model.a": Choice((0.25, 0.5, 0.75, 1.0)),
        "model.mode": Choice(("last", "sum", "decay")),
        "model.w": Between(0.1, 0.95),
    }
    spaces: ClassVar[Mapping[str, Space]] = {
        "public": {},
        "official": {key: values for key, values in space.items() if key in ("model.lam", "model.a")},
    }

    def __init__(self, config: ItemKNNConfig) -> None:
        super().__init__(config)
        self._similar = SparseRows.from_matrix(sparse.csr_array((0, 0)))
        self._fill = torch.zeros(0, dtype=torch.float64)

    def fit(self, corpus: Corpus) -> None:
        """Count the co-occurrences of train and keep the nearest neighbours of every item."""
        self.n_items, self.n_users = corpus.n_items, corpus.n_users
        self._similar = SparseRows.from_matrix(_neighbours(corpus.train, corpus.n_items, self.config))
        popularity = relative_popularity(corpus.item_support) - 1.0  # below every similarity
        self._fill = torch.from_numpy(popularity * (self.config.fill == "popularity"))

    def scores(self, batch: Batch) -> Tensor:
        """Scores of all items, [events, items] float64."""
        device = batch.items.device
        scores = torch.zeros(len(batch), self.n_items, dtype=torch.float64, device=device)
        self._similar.to(device).add_to(scores, *self._weighted(batch))
        if self.config.fill == "none":
            return scores
        return torch.where(scores > 0, scores, self._fill.to(device))

    def parts(self, batch: Batch, items: Tensor) -> ScoreParts:
        """The similarity to each item of the prefix, and the fill."""
        length = int(batch.position[0]) + 1
        _, neighbour, weight = self._weighted(batch)
        similar = torch.zeros(len(items), length, dtype=torch.float64, device=items.device)
        if length:
            near = self._similar.to(items.device).block(neighbour, items).t() * weight
            similar[:, length - len(neighbour) :] = near
        base = torch.where(similar.sum(1) > 0, 0.0, self._fill.to(items.device)[items])
        return ScoreParts(session={"similar": similar}, base=base, popularity=self.config.fill == "popularity")

    def arrays(self) -> dict[str, Tensor]:
        """The neighbours as CSR, and the fill."""
        return {**self._similar.arrays(), "fill": self._fill}

    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        """Take back what :meth:`arrays` returned."""
        self._similar = SparseRows.from_arrays(arrays, n_items, fill=Layout(torch.float64, (n_items,)))
        self._fill = arrays["fill"]
        self.n_items, self.n_users = n_items, n_users

    def statistics(self) -> dict[str, Any]:
        """Number of pairs kept, and of items with any neighbour."""
        with_neighbours = int((torch.diff(self._similar.offsets) > 0).sum())
        return {"neighbours": len(self._similar.items), "items_with_neighbours": with_neighbours}

    def _weighted(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Event, item and weight of the clicks that count for an event, oldest first; flat."""
        length = batch.position + 1
        used = length.clamp(max=1) if self.config.mode == "last" else length
        cells, event = spans(batch.row * batch.items.shape[1] + length - used, used)
        reversed_position = (torch.cumsum(used, 0) - 1)[event] - torch.arange(len(event), device=event.device)
        w = self.config.w if self.config.mode == "decay" else 1.0
        return event, batch.items.flatten()[cells], w ** reversed_position.double()


def _incidence(sessions: Sessions, n_items: int, *, binary: bool) -> sparse.csr_array:
    """Incidence matrix X [sessions, items]: whether, or how often, an item occurs in a session."""
    session = np.repeat(np.arange(len(sessions)), sessions.lengths)
    cells = (np.ones(len(session)), (session, sessions.items))
    incidence: sparse.csr_array = sparse.coo_array(cells, shape=(len(sessions), n_items)).tocsr()
    if binary:
        incidence.data[:] = 1.0
    return incidence


def _neighbours(sessions: Sessions, n_items: int, config: ItemKNNConfig) -> sparse.csr_array:
    """The n_sims most similar items of every item, block of rows by block of rows."""
    incidence = _incidence(sessions, n_items, binary=config.binary or config.official_count)
    counted = _incidence(sessions, n_items, binary=False) if config.official_count else incidence
    by_item = counted.T.tocsr()
    support = np.asarray(counted.sum(axis=0)).ravel()
    left, right = (support + config.lam) ** config.a, (support + config.lam) ** (1 - config.a)
    # Co-occurrences of each item, counted before equal pairs are merged.
    pairs_per_item = np.diff(offsets_of(np.diff(incidence.indptr)[by_item.indices])[by_item.indptr])
    parts = []
    for rows in blocks(pairs_per_item, PAIRS_PER_BLOCK):
        pairs = (by_item[rows] @ incidence).tocoo()
        item, other = pairs.row + rows.start, pairs.col
        apart = item != other
        item, other = item[apart], other[apart]
        # Rounded so that equal fractions are equal floats: a tie must not be broken by the last bit.
        sim = np.round(pairs.data[apart] / (left[item] * right[other]), DIGITS)
        kept = _nearest(item, other, sim, config.n_sims)
        parts.append((sim[kept], item[kept], other[kept]))
    data, item, other = (np.concatenate(column) for column in zip(*parts, strict=True))
    return sparse.coo_array((data, (item, other)), shape=(n_items, n_items)).tocsr()


def _nearest(item: IntArray, other: IntArray, sim: FloatArray, n_sims: int) -> IntArray:
    """Indices of the pairs that stay: the n_sims largest similarities per item, ties by ascending id of the other."""
    order = np.lexsort((other, -sim, item))
    counts = np.bincount(item)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[place < n_sims]


Model = ItemKNN
