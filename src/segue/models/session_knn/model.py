"""Session-KNN: scores from the nearest of the past sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from segue.contract.model import Need, Overrides, SessionModel
from segue.data import arrays, tensors
from segue.data.arrays import FloatArray, IntArray, blocks, offsets_of
from segue.data.batches import Batch
from segue.data.corpus import Corpus
from segue.data.stored import Layout
from segue.models.session_knn.config import (
    PRESETS,
    SPACE,
    SPACES,
    SessionKNNConfig,
    item_weight,
    match_weight,
)
from segue.models.session_knn.index import Running, SessionIndex, Shared
from segue.models.session_knn.reminders import reminders_by_age
from segue.nn.encoding import Added, ScoreParts
from segue.nn.popularity import relative_popularity
from segue.nn.reminders import added_reminders, parts_of
from segue.settings.search_space import Space
from segue.settings.units import milliseconds

DIGITS = 12
CELLS_PER_BLOCK = 2**19
"""Bound on the items of sessions that are processed together; each takes about 100 bytes."""


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

    def __init__(self, config: SessionKNNConfig) -> None:
        super().__init__(config)
        self._index: SessionIndex
        self._item_factor: FloatArray
        self._fill = torch.zeros(0, dtype=torch.float64)
        self._support: dict[str, Tensor] = {}

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
        self.restore({**index.arrays(), "fill": fill, **events}, corpus.n_items, corpus.n_users)

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
        return {**self._index.arrays(), "fill": self._fill, **self._support}

    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        """Take back what :meth:`arrays` returned."""
        self._index = SessionIndex.from_arrays(arrays, n_items, fill=Layout(torch.float64, (n_items,)))
        self._fill = arrays["fill"]
        self.n_items, self.n_users = n_items, n_users
        self._support = {"events": arrays["events"]} if self.config.idf_counts == "events" else {}
        counts = [events.numpy() for events in self._support.values()]
        frequency = counts[0] if counts else np.bincount(self._index.item, minlength=n_items)
        self._item_factor = 1 + self.config.idf * np.log(len(self._index) / np.maximum(frequency, 1))

    def statistics(self) -> dict[str, Any]:
        """Number of sessions that can be neighbours, and of the items they hold."""
        return {"sessions": len(self._index), "items_in_sessions": len(self._index.item)}

    def _of_neighbours(self, batch: Batch) -> Tensor:
        """Scores from the neighbours alone, [events, items] float64 on the CPU."""
        time, user = batch.time.cpu().numpy(), batch.user[batch.row].cpu().numpy()
        scores = torch.zeros(len(batch), self.n_items, dtype=torch.float64)
        running = self._running(batch)
        for shared in self._index.shared(running, time, self.config.sample, CELLS_PER_BLOCK):
            sim = self._similarity(running, shared, time, user)
            near = _largest(shared.event, sim, self.config.k)
            self._add(scores, running, shared.take(near), sim[near])
        return scores

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
        columns = [column.cpu().numpy() for column in (event, item, cell + 1, length)]
        once = np.unique((columns[0] * self.n_items + columns[1])[::-1], return_index=True)[1]
        last = np.sort(len(cell) - 1 - once)
        of_event, which, at, whole = (column[last] for column in columns)
        weight = item_weight(self.config.weighting, self.config.spw, at, whole)
        return Running(of_event, which, at, whole, weight)

    def _similarity(self, running: Running, shared: Shared, time: IntArray, user: IntArray) -> FloatArray:
        """Similarity of every pair, [n]."""
        config, index = self.config, self._index
        squared = np.square(running.weight) if config.cosine else np.ones(len(running.event))
        norm = np.bincount(running.event, weights=squared, minlength=len(time))
        sim = shared.weight / (np.sqrt(norm) if config.cosine else norm)[shared.event]
        if config.cosine:
            sim /= np.sqrt(index.lengths)[shared.session]
        sim = _rounded(sim)
        if config.boost:
            whose = user[shared.event]
            sim[(whose < self.n_users) & (index.user[shared.session] == whose)] *= 1 + config.boost
        if config.snh is not None:
            sim *= np.exp((index.end[shared.session] - time[shared.event]) / milliseconds(config.snh))
        return sim

    def _add(self, scores: Tensor, running: Running, near: Shared, sim: FloatArray) -> None:
        """Add, in place, what each neighbour gives to its items."""
        config, index = self.config, self._index
        place, length = running.place[near.last], running.length[near.last]
        given = sim * match_weight(config.match_weighting, config.ipw, place, length)
        for part in blocks(index.lengths[near.session], CELLS_PER_BLOCK):
            session = near.session[part]
            cell, pair = arrays.spans(index.offsets[session], index.lengths[session])
            item, value = index.item[cell], given[part][pair]
            if config.inh is not None:
                anchor = near.furthest if config.anchor == "neighbour" else near.place
                value *= np.exp(-np.abs(index.place[cell] - anchor[part][pair]) / config.inh)
            if config.idf:
                value *= self._item_factor[item]
            cells = torch.from_numpy(near.event[part][pair] * self.n_items + item)
            scores.view(-1).index_add_(0, cells, torch.from_numpy(value))

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


def _rounded(values: FloatArray) -> FloatArray:
    """Round to DIGITS significant digits: equal fractions must be equal floats, or the last bit breaks their tie."""
    mantissa, exponent = np.frexp(values)
    rounded: FloatArray = np.ldexp(np.round(mantissa, DIGITS), exponent)
    return rounded


def _largest(event: IntArray, sim: FloatArray, k: int) -> IntArray:
    """Indices of the k largest pairs of each event, ties to the later one; `event` ascending."""
    count = np.bincount(event)
    place = np.arange(len(event)) - offsets_of(count)[event]
    crowded = np.flatnonzero(count > k)
    smallest = np.zeros(len(count))  # of those that stay
    if len(crowded):
        row = np.full(len(count), -1)
        row[crowded] = np.arange(len(crowded))
        inside = row[event] >= 0
        dense = np.zeros((len(crowded), int(count.max())))
        dense[row[event[inside]], place[inside]] = sim[inside]
        smallest[crowded] = np.partition(dense, -k, axis=1)[:, -k]
    above = sim > smallest[event]
    tied = np.flatnonzero(sim == smallest[event])
    room = k - np.bincount(event[above], minlength=len(count))
    whose = event[tied]
    behind = np.cumsum(np.bincount(whose, minlength=len(count)))[whose] - np.arange(len(tied))
    above[tied[behind <= room[whose]]] = True
    return np.flatnonzero(above)


Model = SessionKNN
