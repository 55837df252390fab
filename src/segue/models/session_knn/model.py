"""Session-KNN: scores from the nearest of the past sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from segue.contract.model import Need, Overrides, SessionModel
from segue.data import tensors
from segue.data.batches import Batch
from segue.data.corpus import Corpus
from segue.data.stored import Layout
from segue.models.session_knn.config import PRESETS, SPACE, SPACES, SessionKNNConfig
from segue.models.session_knn.reminders import reminders_by_age
from segue.models.session_knn.stored import index_of, stored
from segue.nn.encoding import Added, ScoreParts
from segue.nn.neighbours.index import Running, SessionIndex
from segue.nn.neighbours.scoring import Neighbours, Rules
from segue.nn.popularity import relative_popularity
from segue.nn.reminders import added_reminders, parts_of
from segue.settings.search_space import Space
from segue.system.json_files import typed


class SessionKNN(SessionModel):
    """score(i) = Σ over the k nearest N that hold i of sim(N) · match(N) · near(N, i) · (1 + idf_w · idf(i)).

    For a running session of items at positions p = 1 .. n (the last, where an item repeats), i* the last shared item:

    - sim(N) = Σ of w_p over the shared items / (‖w‖ √|N|), or over the number of distinct items (V-SKNN);
      times e^(-age / snh); times 1 + boost for the user's own sessions.
    - match(N): weight by p(i*). near(N, i) = e^(-|place_N(i) - a| / inh), the anchor a = place_N(i*), or the last place
      in N of any shared item.

    Compared are the `sample` most recent train sessions that share an item and ended before the event's time, so a
    train session is never its own neighbour. Ties go to the most recent, then to the larger session number.

    The presets ``official_*`` and those with the user's history compute what github.com/rn5l/session-rec (5dcd583)
    does; docs/paper-map.md says what they do not copy.
    """

    Config = SessionKNNConfig
    config: SessionKNNConfig
    title: ClassVar[str] = "Session-KNN"
    order_blind: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Overrides]] = PRESETS
    space: ClassVar[Space] = SPACE
    spaces: ClassVar[Mapping[str, Space]] = SPACES
    lean_form: ClassVar[str | None] = "session_knn"

    def __init__(self, config: SessionKNNConfig) -> None:
        super().__init__(config)
        self._neighbours: Neighbours
        self._fill = torch.zeros(0, dtype=torch.float64)
        self._support: dict[str, Tensor] = {}

    @property
    def answering_form(self) -> str | None:
        """None with reminders, which only torch computes."""
        return self.lean_form if self.config.remind is None else None

    @property
    def needs(self) -> frozenset[Need]:
        """Needs times, which say what is past; a history where the user's own sessions count."""
        config = self.config
        personal = config.extend or config.boost or config.remind
        return frozenset({"time", "history"} if personal else {"time"})

    def fit(self, corpus: Corpus) -> None:
        """Order the sessions of train by their end, and index them by item."""
        popularity = relative_popularity(corpus.item_support) - 1.0  # below every score
        fill = torch.from_numpy(popularity * (self.config.fill == "popularity"))
        index = SessionIndex.of(corpus.train, corpus.n_items)
        counted = self.config.idf_counts == "events"
        events = {"events": torch.from_numpy(corpus.item_support)} if counted else {}
        self.restore({**stored(index), "fill": fill, **events}, corpus.n_items, corpus.n_users)

    def scores(self, batch: Batch) -> Tensor:
        """Scores of all items, [events, items] float64."""
        scores = self._of_neighbours(batch)
        if self.config.remind is not None:
            added = self._reminders(batch)
            self._normalise(scores)
            cells = added.event * self.n_items + added.item
            scores.view(-1).index_add_(0, cells.cpu(), added.value.cpu())
        if self.config.fill == "popularity":
            scores = torch.where(scores > 0, scores, self._fill)
        return scores.to(batch.items.device)

    def parts(self, batch: Batch, items: Tensor) -> ScoreParts:
        """Two parts: what the user's earlier items add, and the rest."""
        if self.config.remind is None:
            return super().parts(batch, items)
        return parts_of(self.scores(batch)[0], self._reminders(batch), items)

    def arrays(self) -> dict[str, Tensor]:
        """The sessions, the fill, and the events of each item where they count."""
        return {**stored(self._neighbours.index), "fill": self._fill, **self._support}

    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        """Take back what :meth:`arrays` returned."""
        counted = self.config.idf_counts == "events"
        events = {"events": Layout(torch.int64, (n_items,), 0)} if counted else {}
        index = index_of(arrays, n_items, fill=Layout(torch.float64, (n_items,)), **events)
        self._fill = arrays["fill"]
        self.n_items, self.n_users = n_items, n_users
        self._support = {name: arrays[name] for name in events}
        support = arrays["events"].numpy() if counted else None
        rules = typed(Rules, self.config.model_dump())
        self._neighbours = Neighbours.of(index, rules, support, n_items, n_users)

    def statistics(self) -> dict[str, Any]:
        """Number of sessions that can be neighbours, and of the items they hold."""
        index = self._neighbours.index
        return {"sessions": len(index), "items_in_sessions": len(index.item)}

    def _of_neighbours(self, batch: Batch) -> Tensor:
        """Scores from the neighbours alone, [events, items] float64 on the CPU."""
        time, user = batch.time.cpu().numpy(), batch.user[batch.row].cpu().numpy()
        return torch.from_numpy(self._neighbours.scores(self._running(batch), time, user))

    def _running(self, batch: Batch) -> Running:
        """The prefixes, the short ones preceded by the user's last items."""
        history = batch.history(min(self.config.extend, self.config.window.history))
        of_row = torch.bincount(history.row, minlength=len(batch.user))
        own = batch.position + 1
        before = torch.minimum(of_row[batch.row], (self.config.extend - own).clamp(min=0))
        cell, event = tensors.spans(torch.zeros_like(own), before + own)
        # Prefixes lie row by row in batch.items, histories row by row behind them.
        behind = batch.items.numel() + torch.cumsum(of_row, 0)[batch.row] - before
        place = cell - before[event]
        source = torch.where(place < 0, behind[event] + cell, (batch.row * batch.items.shape[1])[event] + place)
        item = torch.cat([batch.items.flatten(), history.items])[source]
        length = (before + own)[event]
        return self._neighbours.running(*(column.cpu().numpy() for column in (event, item, cell + 1, length)))

    def _normalise(self, scores: Tensor) -> None:
        """Divide, in place, by the largest score of each event, and multiply by the weight of the base."""
        assert self.config.remind is not None
        largest = scores.amax(1, keepdim=True)
        scores *= self.config.remind.base / torch.where(largest > 0, largest, 1.0)

    def _reminders(self, batch: Batch) -> Added:
        assert self.config.remind is not None
        if self.config.remind_by == "age":
            return reminders_by_age(batch, self._running(batch), self.config, self.n_items)
        return added_reminders(batch, self.config.remind, self.config.window.history, self.n_items)


Model = SessionKNN
