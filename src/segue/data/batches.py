"""From sessions to batches: one window, one collate, for training, evaluation and serving.

A batch is whole sessions and every position is an event. A row holds at most ``Window.length`` items; the events of a
longer session that lie beyond that get rows of their own, cut to the last ``Window.length`` items, so a model that reads
a row from left to right sees exactly the window it would be given when serving.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segue.config import Config
from segue.data.corpus import Corpus, IntArray, Part, Sessions, offsets_of

HistoryPolicy = Literal["frozen", "rolling"]


class Window(Config):
    """What a model looks at: it belongs to the model's configuration and travels in the artifact."""

    length: int = 20
    """Last items of the running session."""
    history: int = 0
    """Last items of the user's earlier sessions; 0: none."""


class History(NamedTuple):
    """What came before the running sessions of a batch, flat: items, times (epoch ms) and the row each belongs to."""

    items: Tensor
    times: Tensor
    row: Tensor


class Prefixes(NamedTuple):
    """The prefix of every event by itself, oldest item first, padded on the right: all [events, length]."""

    items: Tensor
    mask: Tensor
    reversed_position: Tensor
    """0 for the last item of the prefix, 1 for the one before; 0 where padded."""


@dataclass(frozen=True)
class Store:
    """Flat tensors of all sessions a batch may look back into: items int64, times int64 (epoch ms), both [events]."""

    items: Tensor
    times: Tensor


@dataclass(frozen=True)
class Batch:
    """Sessions (rows) and the events (prefix, target) inside them.

    Attributes:
        items: [rows, length] int64; cells where `mask` is False hold 0 and mean nothing.
        mask: [rows, length] bool.
        user: [rows] int64; ``n_users`` stands for every unknown user.
        session: [rows] int64, index among the played sessions (-1 for a request).
        row, position: [events] int64; the prefix of an event is ``items[row, : position + 1]``.
        target: [events] int64 (-1 for a request). time: [events] int64, epoch ms of the last item of the prefix.
        past: [rows, 2] the slice of `store` with the user's history. past_sessions: [rows] sessions in it.
        own: [rows, 2] the slice of `store` with the whole running session, empty unless it was counted by the model.
        fresh: [rows] bool; the history is not what the model was fitted on (an unknown user, a rolling history).
    """

    items: Tensor
    mask: Tensor
    user: Tensor
    session: Tensor
    row: Tensor
    position: Tensor
    target: Tensor
    time: Tensor
    past: Tensor
    past_sessions: Tensor
    own: Tensor
    fresh: Tensor
    store: Store

    def __len__(self) -> int:
        """Number of events."""
        return len(self.target)

    def history(self, max_items: int) -> History:
        """The last `max_items` items of every row's history."""
        start, end = self.past.unbind(1)
        length = (end - start).clamp(max=max_items)
        cells, row = spans(end - length, length)
        return History(self.store.items[cells], self.store.times[cells], row)

    def own_items(self) -> tuple[Tensor, Tensor]:
        """Items of the running sessions that the model has counted, and the row of each."""
        cells, row = spans(self.own[:, 0], self.own[:, 1] - self.own[:, 0])
        return self.store.items[cells], row

    def prefixes(self) -> Prefixes:
        """The prefix of every event as a row of its own."""
        length = int(self.position.max()) + 1 if len(self) else 0
        cell = torch.arange(max(length, 1), device=self.items.device)
        reversed_position = self.position[:, None] - cell
        mask = reversed_position >= 0
        items = self.items[:, : len(cell)][self.row] * mask
        return Prefixes(items, mask, reversed_position.clamp(min=0))

    def anonymise(self, rows: Tensor, unknown_user: int) -> Self:
        """The marked rows (bool [rows]) as sessions of an unknown user without history."""
        return replace(
            self,
            user=self.user.masked_fill(rows, unknown_user),
            past=self.past.masked_fill(rows[:, None], 0),
            past_sessions=self.past_sessions.masked_fill(rows, 0),
        )

    def to(self, device: torch.device) -> Self:
        """The same batch on another device; the store must be there already."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "store"}
        return replace(self, **moved)


def spans(start: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Expand slices: the positions start[i] .. start[i] + length[i] - 1 of every i, and i for each; both flat."""
    owner = torch.repeat_interleave(length)
    first = torch.cumsum(length, 0) - length
    return torch.arange(len(owner), device=start.device) + (start - first)[owner], owner


@dataclass(frozen=True)
class _Rows:
    """The rows to play: cells ``start .. start + cells - 1`` of session `session`; events from position `first` on."""

    session: IntArray
    start: IntArray
    cells: IntArray
    first: IntArray

    def take(self, chosen: IntArray) -> _Rows:
        return _Rows(self.session[chosen], self.start[chosen], self.cells[chosen], self.first[chosen])


class Loader:
    """Batches of one set of sessions.

    Args:
        corpus: where history and own sessions are looked up.
        sessions: what to play, of `corpus` (possibly with events left out).
        length: Window.length of the model.
        policy: how much of the user's past is seen; train sessions always see the train sessions before them.
        shuffle: "sessions" (rows are sessions) or "events" (every row is one prefix).
    """

    def __init__(
        self,
        corpus: Corpus,
        sessions: Sessions,
        length: int,
        *,
        policy: HistoryPolicy = "frozen",
        shuffle: Literal["sessions", "events"] = "sessions",
        device: torch.device | None = None,
    ) -> None:
        self.sessions = sessions
        self.device = device or torch.device("cpu")
        self.n_events = int(np.maximum(sessions.lengths - 1, 0).sum())
        self._length = length
        self._rows = _rows(sessions, length, single=shuffle == "events")
        self._past, self._past_sessions, self._own = _look_back(corpus, sessions, policy)
        self._user = np.minimum(sessions.user, corpus.n_users).astype(np.int64)
        played = corpus.part[np.searchsorted(corpus.sessions.number, sessions.number)]
        self._fresh = (self._user == corpus.n_users) | ((policy == "rolling") & (played != Part.TRAIN))
        whole = corpus.sessions
        self._store = Store(
            torch.from_numpy(whole.items.astype(np.int64)).to(self.device),
            torch.from_numpy(whole.times).to(self.device),
        )

    def plan(self, batch_events: int, seed: tuple[int, ...] | None = None) -> list[IntArray]:
        """Row numbers of each batch, about `batch_events` events in each; in order, or shuffled by `seed`."""
        rows = np.arange(len(self._rows.session))
        if seed is not None:
            rows = np.random.default_rng(seed).permutation(rows)
        events = (self._rows.cells - self._rows.first)[rows]
        batch = (np.cumsum(events) - events) // batch_events
        return np.split(rows, np.flatnonzero(np.diff(batch)) + 1) if len(rows) else []

    def batches(self, batch_events: int, seed: tuple[int, ...] | None = None) -> Iterator[Batch]:
        """All batches of :meth:`plan`."""
        return (self.collate(rows) for rows in self.plan(batch_events, seed))

    def collate(self, chosen: IntArray) -> Batch:
        """The batch of the chosen rows."""
        rows = self._rows.take(chosen)
        width = int(rows.cells.max())
        cell = np.arange(width)
        mask = cell < rows.cells[:, None]
        index = np.where(mask, rows.start[:, None] + cell, 0)
        events = rows.cells - rows.first
        row = np.repeat(np.arange(len(chosen)), events)
        position = np.arange(len(row)) - np.repeat(offsets_of(events)[:-1] - rows.first, events)
        last = rows.start[row] + position
        session = rows.session
        batch = Batch(
            items=_long(self.sessions.items[index] * mask),
            mask=torch.from_numpy(mask),
            user=_long(self._user[session]),
            session=_long(session),
            row=_long(row),
            position=_long(position),
            target=_long(self.sessions.items[last + 1]),
            time=_long(self.sessions.times[last]),
            past=_long(self._past[session]),
            past_sessions=_long(self._past_sessions[session]),
            own=_long(self._own[session]),
            fresh=torch.from_numpy(self._fresh[session]),
            store=self._store,
        )
        return batch if self.device.type == "cpu" else batch.to(self.device)


def request(
    items: IntArray,
    user: int,
    time: int,
    history: tuple[IntArray, IntArray, int],
    length: int,
    *,
    fresh: bool = True,
) -> Batch:
    """A served request: a batch with one event.

    Args:
        items: known items of the running session, oldest first; may be empty.
        user: the user's number, or ``n_users`` for an unknown one.
        time: epoch ms.
        history: the user's earlier items, their times, and the number of sessions they came in.
        length: Window.length of the model.
        fresh: False when `history` is what the model was fitted on.
    """
    window = _long(items)[-length:]
    past_items, past_times, past_sessions = history
    shown = window if len(window) else torch.zeros(1, dtype=torch.int64)
    return Batch(
        items=shown[None],
        mask=torch.full((1, len(shown)), len(window) > 0),
        user=torch.tensor([user]),
        session=torch.tensor([-1]),
        row=torch.tensor([0]),
        position=torch.tensor([len(window) - 1]),
        target=torch.tensor([-1]),
        time=torch.tensor([time]),
        past=torch.tensor([[0, len(past_items)]]),
        past_sessions=torch.tensor([past_sessions]),
        own=torch.zeros(1, 2, dtype=torch.int64),
        fresh=torch.tensor([fresh]),
        store=Store(_long(past_items), _long(past_times)),
    )


def _long(values: npt.NDArray[np.integer]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64))


def _rows(sessions: Sessions, length: int, *, single: bool) -> _Rows:
    """Whole sessions up to `length` cells, and a row for each later prefix; with `single` a row for every prefix."""
    prefixes = np.maximum(sessions.lengths - 1, 0)
    together = np.minimum(prefixes, 0 if single else length)
    session = np.repeat(np.arange(len(sessions)), prefixes - together)
    last = np.arange(len(session)) - np.repeat(offsets_of(prefixes - together)[:-1] - together, prefixes - together)
    cells = np.minimum(last + 1, length)
    whole = np.flatnonzero(together > 0)
    rows = _Rows(
        session=np.concatenate([whole, session]),
        start=np.concatenate([sessions.offsets[whole], sessions.offsets[session] + last + 1 - cells]),
        cells=np.concatenate([together[whole], cells]),
        first=np.concatenate([np.zeros(len(whole), dtype=np.int64), cells - 1]),
    )
    return rows.take(np.lexsort((rows.start + rows.cells, rows.session)))


def _look_back(corpus: Corpus, played: Sessions, policy: HistoryPolicy) -> tuple[IntArray, IntArray, IntArray]:
    """Slices of the corpus' flat arrays for each played session: history [n, 2], its sessions [n], itself [n, 2].

    History is the leading run of the user's sessions that all ended before this one starts; ``frozen`` ends it with the
    train part. The session itself is given only where it is a train session: only those are counted by a model.
    """
    whole = corpus.sessions
    index = np.searchsorted(whole.number, played.number)
    first_session = np.searchsorted(whole.user, whole.user, side="left")[index]
    is_train = corpus.part == Part.TRAIN
    ended = _sessions_ended_before(whole)[index]
    others = np.append(np.flatnonzero(~is_train), len(whole))
    first_other = others[np.searchsorted(others, first_session)]
    leading = np.minimum(first_other, np.searchsorted(whole.user, whole.user, side="right")[index]) - first_session
    sessions = np.minimum(ended, leading) if policy == "frozen" else ended
    # A train session sees train sessions alone, whatever the policy: its future must not depend on other parts.
    sessions = np.where(is_train[index], np.minimum(ended, leading), sessions)
    past = np.stack([whole.offsets[first_session], whole.offsets[first_session + sessions]], axis=1)
    own = np.stack([whole.offsets[index], whole.offsets[index + is_train[index]]], axis=1)
    return past, sessions, own


def _sessions_ended_before(sessions: Sessions) -> IntArray:
    """For each session, how many leading sessions of its user all ended strictly before it starts, [sessions]."""
    if not len(sessions):
        return np.zeros(0, dtype=np.int64)
    start, end = sessions.times[sessions.offsets[:-1]], sessions.times[sessions.offsets[1:] - 1]
    base = int(start.min())
    span = int(end.max()) - base + 2
    user = sessions.user.astype(np.int64) * span
    latest_end = np.maximum.accumulate(user + (end - base))
    before = np.searchsorted(latest_end, user + (start - base), side="left")
    return np.minimum(before, np.arange(len(sessions))) - np.searchsorted(sessions.user, sessions.user, side="left")
