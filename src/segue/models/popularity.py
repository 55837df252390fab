"""Popularity of an item in the running session, with the user, and with everybody.

One additive score covers the simple baselines that every honest table needs: popularity, recent popularity, S-POP
(count in the session, then popularity), the session's items by recency, personal popularity, and a mix of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor

from segue.contract.model import ModelConfig, Need, Overrides, SessionModel
from segue.data.batches import Batch, Window
from segue.data.corpus import Corpus
from segue.data.present import present
from segue.data.stored import Layout, check_arrays
from segue.data.tensors import spans
from segue.nn.encoding import ScoreParts
from segue.nn.popularity import relative_popularity
from segue.settings.search_space import Between, Choice, Space
from segue.settings.units import Duration, milliseconds

_HALF_LIVES = Choice(("1d", "3d", "7d", "30d", "90d", "365d"))


class PopularityConfig(ModelConfig):
    """Options of the popularity models: what is counted, and how fast it ages."""

    window: Window = Window(length=10_000, history=10_000)
    """Items of the running session, and of the user's earlier sessions, that are counted."""
    session_weight: float = Field(0.0, ge=0, le=1e9)
    """Weight of each occurrence in the running session, or of its position there."""
    session_order: Literal["count", "recency"] = "count"
    """Ranking of the items of the running session: by how often they occur, or by how late."""
    history_weight: float = Field(0.0, ge=0, le=1e9)
    """Weight of each occurrence in the user's earlier sessions."""
    half_life: Duration | None = None
    """Age at which an occurrence in the user's history counts half. Unset: all count alike."""
    recency_half_life: Duration | None = None
    """Age, at the end of train, at which an event counts half towards popularity. Unset: all count alike."""

    @field_validator("history_weight")
    @classmethod
    def _history_is_there(cls, weight: float, info: ValidationInfo) -> float:
        if weight and "window" in info.data and not info.data["window"].history:
            raise ValueError("the user's earlier items are counted with window.history above 0")
        return weight


class Popularity(SessionModel):
    """score(i) = session_weight · count in prefix + history_weight · count in history + popularity(i) in [0, 1).

    With whole counts the popularity only decides between equal counts. Scores are float64, so that this order is exact.
    With session_order "recency" the item's last position in the prefix, from 1, replaces its count.
    """

    Config = PopularityConfig
    config: PopularityConfig
    title: ClassVar[str] = "Popularity"
    order_blind: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Overrides]] = {
        "global": {},
        # News and shops turn over within days; on catalogues that live longer a longer half-life loses little.
        "recent": {"model": {"recency_half_life": "1d"}},
        "session": {"model": {"session_weight": 1.0}},
        "repeat_last": {"model": {"session_weight": 1.0, "session_order": "recency"}},
        "personal": {"model": {"history_weight": 1.0}},
        # Tastes in music and in what one reads last for weeks; popularity breaks the ties that decayed counts leave.
        "mixed": {"model": {"session_weight": 1.0, "history_weight": 1.0, "half_life": "30d"}},
    }
    space: ClassVar[Space] = {
        "model.session_weight": Between(0.01, 100.0, log=True),
        "model.session_order": Choice(("count", "recency")),
        "model.history_weight": Between(0.01, 100.0, log=True),
        "model.half_life": _HALF_LIVES,
        "model.recency_half_life": Choice(("6h", "1d", "7d", "30d", "365d")),
    }
    spaces: ClassVar[Mapping[str, Space]] = {
        "global": {},
        "recent": {"model.recency_half_life": space["model.recency_half_life"]},
        "session": {},
        "repeat_last": {},
        "personal": {"model.half_life": _HALF_LIVES},
    }

    lean_form: ClassVar[str | None] = "popularity"

    def __init__(self, config: PopularityConfig) -> None:
        super().__init__(config)
        self._popularity = torch.zeros(0, dtype=torch.float64)

    @property
    def needs(self) -> frozenset[Need]:
        """Needs a history where it is counted, and times where anything ages."""
        config = self.config
        ages = config.recency_half_life or (config.history_weight and config.half_life)
        asked: dict[Need, Any] = {"history": config.history_weight, "time": ages}
        return frozenset(need for need, wanted in asked.items() if wanted)

    def fit(self, corpus: Corpus) -> None:
        """Count the events of train, each weighted by its age where recency_half_life is set."""
        train = corpus.train
        weight = np.ones(len(train.items))
        if self.config.recency_half_life is not None and len(train.items):
            age = np.maximum(present(train.times) - train.times, 0)
            weight = np.exp2(-age / milliseconds(self.config.recency_half_life))
        support = np.bincount(train.items, weights=weight, minlength=corpus.n_items)
        self._popularity = torch.from_numpy(relative_popularity(support))
        self.n_items, self.n_users = corpus.n_items, corpus.n_users

    def scores(self, batch: Batch) -> Tensor:
        """Scores of all items, [events, items] float64."""
        scores = self._popularity.to(batch.items.device).repeat(len(batch), 1)
        flat = scores.view(-1)
        if self.config.session_weight:
            seen, event, weight = self._session(batch)
            flat.index_add_(0, event * self.n_items + seen, weight)
        if self.config.history_weight:
            seen, event, weight = self._history(batch)
            flat.index_add_(0, event * self.n_items + seen, weight)
        return scores

    def parts(self, batch: Batch, items: Tensor) -> ScoreParts:
        """The running session item by item, the user's history, and popularity."""
        prefix, _, counted = self._session(batch)
        seen, _, weight = self._history(batch)
        return ScoreParts(
            session={"session": (items[:, None] == prefix) * counted},
            user={"history": (items[:, None] == seen).double() @ weight},
            base=self._popularity.to(items.device)[items],
            popularity=True,
        )

    def arrays(self) -> dict[str, Tensor]:
        """The popularity of every item."""
        return {"popularity": self._popularity}

    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        """Take back what :meth:`arrays` returned."""
        check_arrays(arrays, {"popularity": Layout(torch.float64, (n_items,), 0)})
        self._popularity = arrays["popularity"]
        self.n_items, self.n_users = n_items, n_users

    def statistics(self) -> dict[str, Any]:
        """Number of items that train has seen."""
        return {"items_with_support": int((self._popularity > 0).sum())}

    def _session(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Items of the prefixes, their events, and what each adds to the score; flat."""
        cells, event = spans(batch.row * batch.items.shape[1], batch.position + 1)
        seen = batch.items.flatten()[cells]
        weight = torch.full_like(seen, self.config.session_weight, dtype=torch.float64)
        if self.config.session_order == "recency":
            place = cells % batch.items.shape[1] + 1
            last = torch.zeros(len(batch), self.n_items, dtype=place.dtype, device=place.device)
            last.view(-1).scatter_reduce_(0, event * self.n_items + seen, place, "amax")
            weight = weight * place * (place == last[event, seen])
        return seen, event, weight

    def _history(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Items of the users' histories, the events that look back at them, and their weights; flat."""
        history = batch.history(self.config.window.history)
        length = torch.bincount(history.row, minlength=len(batch.user))
        start = torch.cumsum(length, 0) - length
        cells, event = spans(start[batch.row], length[batch.row])
        weight = torch.full((len(cells),), self.config.history_weight, dtype=torch.float64, device=cells.device)
        if self.config.half_life is not None:
            age = (batch.time[event] - history.times[cells]).clamp(min=0)
            weight = weight * torch.exp2(-age / milliseconds(self.config.half_life))
        return history.items[cells], event, weight


Model = Popularity
