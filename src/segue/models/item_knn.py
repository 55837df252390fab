"""Item-KNN: items that share sessions (Sarwar et al. 2001; session form as in Hidasi et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, ValidationInfo, field_validator
from scipy import sparse
from torch import Tensor

from segue.contract.model import ModelConfig, Need, Overrides, SessionModel
from segue.data.arrays import PAIRS_PER_BLOCK, FloatArray, IntArray, blocks, offsets_of
from segue.data.batches import Batch, Window
from segue.data.corpus import Corpus, Sessions
from segue.data.stored import Layout
from segue.nn.clicks import Clicks, clicks_of
from segue.nn.encoding import ScoreParts
from segue.nn.incidence import bm25, of_sessions, tfidf
from segue.nn.popularity import relative_popularity
from segue.nn.sparse_rows import SparseRows
from segue.settings.search_space import Between, Choice, Space
from segue.settings.units import Neighbours

DIGITS = 12


class ItemKNNConfig(ModelConfig):
    """Options of Item-KNN: the similarity, and how the similarities of several items combine."""

    window: Window = Window(length=20)
    """Items of the running session, and of the user's earlier sessions, that are looked at."""
    n_sims: Neighbours = 100
    """Neighbours kept per item; use no fewer than the longest list of recommendations."""
    weighting: Literal["cosine", "tfidf", "bm25"] = "cosine"
    """Weight of an item in a session: 1 or its count; tf-idf or BM25 with the items as documents and the sessions as
    terms, so that a long session counts less. BM25 is not normalised: lam and a do not matter then."""
    k1: float = Field(1.2, ge=0, le=1e6)
    """Saturation K1 of BM25: the larger, the more the repeats of an item in a session count."""
    b: float = Field(0.75, ge=0, le=1)
    """Length normalisation B of BM25: how much the similarity of items with much support is lowered."""
    lam: float = Field(20.0, ge=0, le=1e9)
    """Shrinkage, which lowers the similarity of rare items."""
    a: float = Field(0.5, ge=0, le=1)
    """Exponent of the support of item i; 0.5 with lam 0 is the cosine, 1 the confidence of the rule i → j."""
    mode: Literal["last", "sum", "decay"] = "sum"
    """Known items that count: the last; all alike; all, each with w times the weight of the one after it."""
    w: float = Field(0.5, gt=0, le=1)
    """Weight of an item in mode "decay", as a share of the weight of the item after it."""
    binary: bool = True
    """Whether an item counts once per session; false: every pair of events counts, over the support in events."""
    official_count: bool = False
    """Whether C counts as the program of Hidasi et al. (2016) does, whatever `binary` says: item i as often as it
    occurs, item j once per session, over the support in events. Differs only where sessions repeat items."""
    itself: bool = False
    """Whether an item is also a neighbour of itself, so that known items are recommended again."""
    fill: Literal["none", "popularity"] = "none"
    """Ranking of items without similarity: "popularity" puts them below all others, by train popularity."""

    @field_validator("official_count")
    @classmethod
    def _cosine_alone(cls, official: bool, info: ValidationInfo) -> bool:
        if official and info.data.get("weighting", "cosine") != "cosine":
            raise ValueError('the official count is one of the weighting "cosine"; set it to false')
        return official


class ItemKNN(SessionModel):
    """score(j) = Σ over the known clicks of weight · sim(v_i, j); sim = C / ((supp_i + lam)^a (supp_j + lam)^(1 - a)).

    C counts the train sessions in which both occur, unless `binary` or `official_count` says otherwise; sim(i, i) = 0
    unless `itself`. Of each row the n_sims largest stay, ties by ascending item. Known clicks are those of the history,
    where window.history is above 0, and of the prefix after it.

    With weighting "tfidf", C = Σ_s w_is w_js and supp_i = Σ_s w_is² of the weights w that
    :func:`segue.nn.incidence.tfidf` gives: with lam 0 and a 0.5 the cosine of the weighted rows. With "bm25", sim = C
    of those that :func:`segue.nn.incidence.bm25` gives. Both are as in github.com/benfred/implicit (0.7.3).
    """

    Config = ItemKNNConfig
    config: ItemKNNConfig
    title: ClassVar[str] = "Item-KNN"
    order_blind: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Overrides]] = {
        "session": {},
        "history": {
            "model": {"weighting": "tfidf", "lam": 0.0, "itself": True, "window": {"length": 20, "history": 1000}}
        },
        # k1 and b as github.com/benfred/implicit (0.7.3) has them by default.
        "bm25": {"model": {"weighting": "bm25"}},
        # The form behind the published numbers: cosine to the last item.
        "public": {"model": {"mode": "last", "lam": 0.0}},
        # The defaults of github.com/hidasib/GRU4Rec and, the same, of github.com/rn5l/session-rec (5dcd583).
        "official": {"model": {"mode": "last", "lam": 20.0, "a": 0.5, "n_sims": 100, "official_count": True}},
    }
    space: ClassVar[Space] = {
        "model.weighting": Choice(("cosine", "tfidf", "bm25")),
        "model.k1": Between(0.1, 100.0, log=True),
        "model.b": Between(0.0, 1.0),
        "model.lam": Choice((0.0, 5.0, 20.0, 50.0, 80.0)),
        "model.a": Choice((0.25, 0.5, 0.75, 1.0)),
        "model.itself": Choice((True, False)),
        "model.mode": Choice(("last", "sum", "decay")),
        "model.w": Between(0.1, 0.95),
    }
    spaces: ClassVar[Mapping[str, Space]] = {
        "public": {},
        "bm25": {
            key: values for key, values in space.items() if key not in ("model.weighting", "model.lam", "model.a")
        },
        "official": {key: values for key, values in space.items() if key in ("model.lam", "model.a")},
    }

    lean_form: ClassVar[str | None] = "item_knn"

    def __init__(self, config: ItemKNNConfig) -> None:
        super().__init__(config)
        self._similar = SparseRows.from_matrix(sparse.csr_array((0, 0)))
        self._fill = torch.zeros(0, dtype=torch.float64)

    @property
    def needs(self) -> frozenset[Need]:
        """Needs a history where it is looked at."""
        return frozenset({"history"} if self.config.window.history else ())

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
        self._clicks(batch).add_to(scores, self._similar.to(device))
        if self.config.fill == "none":
            return scores
        return torch.where(scores > 0, scores, self._fill.to(device))

    def parts(self, batch: Batch, items: Tensor) -> ScoreParts:
        """The similarity to each item of the prefix and to the history, and the fill."""
        session, past = self._clicks(batch).parts(self._similar.to(items.device), items)
        base = torch.where(session.sum(1) + past > 0, 0.0, self._fill.to(items.device)[items])
        return ScoreParts(
            session={"similar": session},
            user={"history": past} if self.config.window.history else {},
            base=base,
            popularity=self.config.fill == "popularity",
        )

    def arrays(self) -> dict[str, Tensor]:
        """The neighbours as CSR, and the fill."""
        return {**self._similar.arrays(), "fill": self._fill}

    def derived(self) -> dict[str, Tensor]:
        """How clicks are weighed."""
        return {"fade": torch.tensor(self._fade, dtype=torch.float64), "distinct": torch.tensor(0)}

    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        """Take back what :meth:`arrays` returned."""
        self._similar = SparseRows.from_arrays(arrays, n_items, fill=Layout(torch.float64, (n_items,)))
        self._fill = arrays["fill"]
        self.n_items, self.n_users = n_items, n_users

    def statistics(self) -> dict[str, Any]:
        """Number of pairs kept, and of items with any neighbour."""
        with_neighbours = int((torch.diff(self._similar.offsets) > 0).sum())
        return {"neighbours": len(self._similar.items), "items_with_neighbours": with_neighbours}

    def _clicks(self, batch: Batch) -> Clicks:
        return clicks_of(batch, self.config.window.history, self.n_items, fade=self._fade)

    @property
    def _fade(self) -> float:
        """Weight of a known click, as a share of the weight of the click after it."""
        return {"last": 0.0, "sum": 1.0, "decay": self.config.w}[self.config.mode]


def _neighbours(sessions: Sessions, n_items: int, config: ItemKNNConfig) -> sparse.csr_array:
    """The n_sims most similar items of every item, block of rows by block of rows."""
    incidence = _weighted(of_sessions(sessions, n_items, binary=config.binary or config.official_count), config)
    counted = of_sessions(sessions, n_items, binary=False) if config.official_count else incidence
    by_item = counted.T.tocsr()
    left, right = _norms(counted, config)
    # Co-occurrences of each item, counted before equal pairs are merged.
    pairs_per_item = np.diff(offsets_of(np.diff(incidence.indptr)[by_item.indices])[by_item.indptr])
    parts = []
    for rows in blocks(pairs_per_item, PAIRS_PER_BLOCK):
        pairs = (by_item[rows] @ incidence).tocoo()
        item, other = pairs.row + rows.start, pairs.col
        apart = (item != other) | config.itself
        item, other = item[apart], other[apart]
        # Rounded so that equal fractions are equal floats: a tie must not be broken by the last bit.
        sim = np.round(pairs.data[apart] / (left[item] * right[other]), DIGITS)
        kept = _nearest(item, other, sim, config.n_sims)
        parts.append((sim[kept], item[kept], other[kept]))
    data, item, other = (np.concatenate(column) for column in zip(*parts, strict=True))
    return sparse.coo_array((data, (item, other)), shape=(n_items, n_items)).tocsr()


def _weighted(counts: sparse.csr_array, config: ItemKNNConfig) -> sparse.csr_array:
    """Counts [sessions, items] with the weights of the configuration."""
    match config.weighting:
        case "tfidf":
            return tfidf(counts)
        case "bm25":
            return bm25(counts, config.k1, config.b)
        case _:
            return counts


def _norms(weighted: sparse.csr_array, config: ItemKNNConfig) -> tuple[FloatArray, FloatArray]:
    """What the products of items i and j are divided by: a factor for each i, and one for each j."""
    if config.weighting == "bm25":
        return np.ones(weighted.shape[1]), np.ones(weighted.shape[1])
    squared = weighted.power(2) if config.weighting == "tfidf" else weighted
    support: FloatArray = np.asarray(squared.sum(axis=0), dtype=np.float64).ravel() + config.lam
    return support**config.a, support ** (1 - config.a)


def _nearest(item: IntArray, other: IntArray, sim: FloatArray, n_sims: int) -> IntArray:
    """Indices of the pairs that stay: the n_sims largest similarities per item, ties by ascending id of the other."""
    order = np.lexsort((other, -sim, item))
    counts = np.bincount(item)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[place < n_sims]


Model = ItemKNN
