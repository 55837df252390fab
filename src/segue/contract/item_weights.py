"""What the models with item-to-item weights in closed form share: options, memory, scores, parts, stored arrays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor

from segue.contract.model import ModelConfig, Need, SessionModel
from segue.data.arrays import FloatArray
from segue.data.batches import Batch, Window
from segue.data.corpus import Corpus, Sessions
from segue.data.present import present
from segue.data.stored import Layout
from segue.nn.clicks import Clicks, clicks_of
from segue.nn.encoding import ScoreParts
from segue.nn.item_weights import check_memory, strongest
from segue.nn.sparse_rows import SparseRows
from segue.settings.units import Duration, Places, milliseconds


class ItemWeightsConfig(ModelConfig):
    """Options of models with item-to-item weights in closed form: what is looked at, λ, and the weights kept."""

    window: Window = Window(length=20)
    """Items of the running session, and of the user's earlier sessions, that are looked at."""
    reg: float = Field(500.0, ge=1e-3, le=1e9)
    """Regularisation λ of the squared weights, beside the squared errors of all rows."""
    n_weights: int = Field(500, ge=0, le=10_000)
    """Weights kept per item, the largest in size; 0: all of them, quadratic in the number of items."""


class SessionAwareConfig(ItemWeightsConfig):
    """Options of SLIS and SLIST: how rows age, how inputs are normalised, how the clicks of an event are weighted."""

    reg: float = Field(10.0, ge=1e-3, le=1e9)
    """Regularisation λ of the squared weights, beside the squared errors of all rows."""
    normalise: bool = True
    """Whether the inputs of each row are divided by their sum, as in the authors' program; targets never are."""
    recent: Duration | None = None
    """Age of a row, at the end of train, at which its weight has fallen by e. Unset: all rows weigh alike."""
    recent_items: Places | None = None
    """Number of clicks over which the weight of a known click of an event falls by e, from the last one backwards.
    Unset: all known clicks weigh alike."""


class ItemWeightsModel(SessionModel):
    """score(j) = Σ over the known clicks of an event of weight · B[i, j], B [items, items] solved in closed form.

    An item that train does not hold has the lowest of the other scores, as weights may be negative.
    """

    config: ItemWeightsConfig
    lean_form: ClassVar[str | None] = "item_weights"

    def __init__(self, config: ItemWeightsConfig) -> None:
        super().__init__(config)
        self._weights = SparseRows.from_matrix(sparse.csr_array((0, 0)))
        self._supported = torch.zeros(0, dtype=torch.bool)

    @abstractmethod
    def solve(self, corpus: Corpus) -> Tensor:
        """The weights B [items, items] float64, dense; row i is what item i adds to the scores."""

    @property
    def fade(self) -> float:
        """Weight of a known click, as a share of the weight of the click after it."""
        return 1.0

    @property
    def distinct(self) -> bool:
        """Whether every known item of an event counts once, however often it was clicked."""
        return False

    @property
    def needs(self) -> frozenset[Need]:
        """Needs a history where it is looked at."""
        return frozenset({"history"} if self.config.window.history else ())

    def fit(self, corpus: Corpus) -> None:
        """Solve for the weights of train, and keep the strongest.

        Raises CorpusError when the dense matrices do not fit in memory.
        """
        check_memory(self.title, corpus.n_items)
        self.n_items, self.n_users = corpus.n_items, corpus.n_users
        self._supported = torch.from_numpy(corpus.item_support > 0)
        self._weights = strongest(self.solve(corpus), self.config.n_weights)

    def scores(self, batch: Batch) -> Tensor:
        """Scores of all items, [events, items] float64."""
        device = batch.items.device
        scores = torch.zeros(len(batch), self.n_items, dtype=torch.float64, device=device)
        self._clicks(batch).add_to(scores, self._weights.to(device))
        return torch.where(self._supported.to(device), scores, scores.amin(1, keepdim=True))

    def parts(self, batch: Batch, items: Tensor) -> ScoreParts:
        """What each click of the session adds, what the user's history adds, and the score of items without support."""
        session, past = self._clicks(batch).parts(self._weights.to(items.device), items)
        lowest = self.scores(batch)[0].amin()
        base = torch.where(self._supported.to(items.device)[items], 0.0, lowest)
        return ScoreParts(session={"weights": session}, user={"history": past}, base=base)

    def arrays(self) -> dict[str, Tensor]:
        """The kept weights as CSR, and which items train holds."""
        return {**self._weights.arrays(), "supported": self._supported}

    def derived(self) -> dict[str, Tensor]:
        """How clicks are weighed."""
        return {"fade": torch.tensor(self.fade, dtype=torch.float64), "distinct": torch.tensor(int(self.distinct))}

    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        """Take back what :meth:`arrays` returned."""
        self._weights = SparseRows.from_arrays(arrays, n_items, supported=Layout(torch.bool, (n_items,)))
        self._supported = arrays["supported"]
        self.n_items, self.n_users = n_items, n_users

    def statistics(self) -> dict[str, Any]:
        """Number of weights kept, and of items with support."""
        return {"weights": len(self._weights.items), "items_with_support": int(self._supported.sum())}

    def _clicks(self, batch: Batch) -> Clicks:
        history = self.config.window.history
        return clicks_of(batch, history, self.n_items, fade=self.fade, distinct=self.distinct)


class SessionAwareModel(ItemWeightsModel):
    """Base of SLIS and SLIST (Choi et al. 2021): rows age, and the clicks of an event lose weight backwards.

    A click with r clicks after it weighs exp(-r / recent_items).
    """

    config: SessionAwareConfig

    @property
    def fade(self) -> float:
        """Weight of a known click, as a share of the weight of the click after it."""
        places = self.config.recent_items
        return 1.0 if places is None else float(np.exp(-1 / places))

    @property
    def needs(self) -> frozenset[Need]:
        """Needs a history where it is looked at, and times where rows age."""
        return super().needs | frozenset({"time"} if self.config.recent else ())

    def row_weights(self, sessions: Sessions) -> FloatArray:
        """Weight exp(-age / recent) of each session, by the time of its last event, [sessions]."""
        if self.config.recent is None or not len(sessions):
            return np.ones(len(sessions))
        age = np.maximum(present(sessions.times) - sessions.times[sessions.offsets[1:] - 1], 0)
        weight: FloatArray = np.exp(-age / milliseconds(self.config.recent))
        return weight
