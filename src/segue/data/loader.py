"""Batches of a set of sessions: which rows are played, in which order, and which history each row has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from segue.data.arrays import IntArray, offsets_of
from segue.data.batches import Batch, HistoryPolicy, Store, long_tensor
from segue.data.corpus import Corpus, Part, Sessions
from segue.data.schedules import Order, Schedule, session_parallel, user_sequential
from segue.data.tensors import spans

_UNDIVIDED = 100
"""Number of events up to which a row is played in one batch, whatever the size of a batch."""


@dataclass(frozen=True)
class BatchRows:
    """The rows to play: cells ``start .. start + cells - 1`` of session `session`; events from position `first` on.

    Shapes: all [rows]. slot, continues: as in :class:`~segue.data.batches.Batch`; unset where nothing is carried.
    """

    session: IntArray
    start: IntArray
    cells: IntArray
    first: IntArray
    slot: IntArray | None = None
    continues: np.ndarray[tuple[int], np.dtype[np.bool_]] | None = None

    def __len__(self) -> int:
        return len(self.session)

    @property
    def events(self) -> IntArray:
        """Events in each row, [rows]."""
        return self.cells - self.first

    def take(self, chosen: IntArray) -> BatchRows:
        """The chosen rows, in the given order."""
        taken = BatchRows(self.session[chosen], self.start[chosen], self.cells[chosen], self.first[chosen])
        if self.slot is None or self.continues is None:
            return taken
        return replace(taken, slot=self.slot[chosen], continues=self.continues[chosen])

    def split(self, events: int) -> BatchRows:
        """Rows of at most `events` events: a longer row becomes several with its start, which share its events out."""
        pieces = -(-self.events // events)
        if not (pieces > 1).any():
            return self
        row = np.repeat(np.arange(len(self)), pieces)
        piece = np.arange(len(row)) - np.repeat(offsets_of(pieces)[:-1], pieces)
        first = self.first[row] + piece * events
        return BatchRows(self.session[row], self.start[row], np.minimum(first + events, self.cells[row]), first)


class Loader:
    """Batches of one set of sessions.

    Args:
        corpus: where history and own sessions are looked up.
        sessions: what to play, of `corpus` (possibly with events left out).
        length: Window.length of the model.
        policy: which earlier sessions of the user are seen; train sessions always see the train sessions before them.
        shuffle: "sessions" (rows are sessions) or "events" (every row is one prefix).
        order: "session_parallel": a row is one item, "user_sequential": a row is a whole session; see
            :mod:`segue.data.schedules`.
    """

    def __init__(
        self,
        corpus: Corpus,
        sessions: Sessions,
        length: int,
        *,
        policy: HistoryPolicy = "frozen",
        shuffle: Literal["sessions", "events"] = "sessions",
        order: Order = "shuffled",
        device: torch.device | None = None,
    ) -> None:
        self.sessions = sessions
        self.device = device or torch.device("cpu")
        self.n_events = int(np.maximum(sessions.lengths - 1, 0).sum())
        self._order, self._n_users = order, corpus.n_users
        if order == "session_parallel":
            length, shuffle = 1, "events"
        elif order == "user_sequential":
            length, shuffle = int(sessions.lengths.max(initial=1)), "sessions"
        self._rows = _rows(sessions, length, single=shuffle == "events")
        self._past, self._past_sessions, self._own = _history_slices(corpus, sessions, policy)
        self._user = np.minimum(sessions.user, corpus.n_users).astype(np.int64)
        played = corpus.part[np.searchsorted(corpus.sessions.number, sessions.number)]
        self._fresh = (self._user == corpus.n_users) | ((policy == "rolling") & (played != Part.TRAIN))
        whole = corpus.sessions
        self._store = Store.of(whole, self.device)

    def plan(self, batch_events: int, seed: tuple[int, ...] | None = None) -> list[BatchRows]:
        """The rows of each batch, about `batch_events` events in each; in order, or shuffled by `seed`.

        A row of many more events is divided: a batch takes memory for its events times the items of its longest row.
        An order that carries a state is the same in every epoch.
        """
        if not len(self._rows):
            return []
        if self._order != "shuffled":
            return self._steps(batch_events)
        rows = self._rows.split(max(batch_events, _UNDIVIDED))
        chosen = np.arange(len(rows))
        if seed is not None:
            chosen = np.random.default_rng(seed).permutation(chosen)
        events = rows.events[chosen]
        batch = (np.cumsum(events) - events) // batch_events
        return [rows.take(part) for part in np.split(chosen, np.flatnonzero(np.diff(batch)) + 1)]

    def _steps(self, batch_events: int) -> list[BatchRows]:
        rows = self._rows
        if self._order == "session_parallel":
            schedule = session_parallel(self.sessions, rows.session, batch_events)
        else:
            slots = max(1, round(batch_events / float(rows.events.mean())))
            schedule = user_sequential(self._user[rows.session], self._n_users, slots)
        chosen = np.lexsort((schedule.slot, schedule.step))
        parts = np.split(chosen, np.flatnonzero(np.diff(schedule.step[chosen])) + 1)
        return [replace(rows.take(part), **_carried(schedule, part)) for part in parts]

    def batches(self, batch_events: int, seed: tuple[int, ...] | None = None) -> Iterator[Batch]:
        """The batches of :meth:`plan`, one by one."""
        return (self.collate(rows) for rows in self.plan(batch_events, seed))

    def share(self, rows: BatchRows, rank: int, size: int) -> Batch:
        """The share that process `rank` of `size` plays of a batch, which knows the whole.

        Shares are neighbouring rows with about as many events each. Where a state is carried, slots stay with one
        process. A share without rows plays the first row, idly.
        """
        if rows.slot is None:
            owner = (np.cumsum(rows.events) - rows.events) * size // max(int(rows.events.sum()), 1)
        else:
            owner = owner_of_slot(rows.slot, size)
        own = np.flatnonzero(owner == rank)
        idle = not len(own)
        own = np.zeros(1, dtype=np.int64) if idle else own
        whole, mine = self.collate(rows), rows.take(own)
        first = torch.from_numpy(offsets_of(rows.events)[own])
        place, _ = spans(first, torch.from_numpy(mine.events))
        return replace(self.collate(mine), whole=whole, share=place.to(self.device), idle=idle)

    def collate(self, rows: BatchRows) -> Batch:
        """Collate rows into one batch."""
        width = int(rows.cells.max())
        cell = np.arange(width)
        mask = cell < rows.cells[:, None]
        index = np.where(mask, rows.start[:, None] + cell, 0)
        events = rows.events
        row = np.repeat(np.arange(len(rows)), events)
        position = np.arange(len(row)) - np.repeat(offsets_of(events)[:-1] - rows.first, events)
        last = rows.start[row] + position
        session = rows.session
        batch = Batch(
            items=long_tensor(self.sessions.items[index] * mask),
            mask=torch.from_numpy(mask),
            user=long_tensor(self._user[session]),
            session=long_tensor(session),
            row=long_tensor(row),
            position=long_tensor(position),
            target=long_tensor(self.sessions.items[last + 1]),
            time=long_tensor(self.sessions.times[last]),
            past=long_tensor(self._past[session]),
            past_sessions=long_tensor(self._past_sessions[session]),
            own=long_tensor(self._own[session]),
            fresh=torch.from_numpy(self._fresh[session]),
            slot=torch.arange(len(rows)) if rows.slot is None else long_tensor(rows.slot),
            continues=torch.from_numpy(np.zeros(len(rows), bool) if rows.continues is None else rows.continues),
            store=self._store,
        )
        return batch if self.device.type == "cpu" else batch.to(self.device)


def owner_of_slot(slot: IntArray, size: int) -> IntArray:
    """The process, of `size` of them, in which each slot is played."""
    return slot % size


def _carried(schedule: Schedule, rows: IntArray) -> dict[str, Any]:
    return {"slot": schedule.slot[rows], "continues": schedule.continues[rows]}


def _rows(sessions: Sessions, length: int, *, single: bool) -> BatchRows:
    """Whole sessions up to `length` cells, and a row for each later prefix; with `single` a row for every prefix."""
    prefixes = np.maximum(sessions.lengths - 1, 0)
    together = np.minimum(prefixes, 0 if single else length)
    session = np.repeat(np.arange(len(sessions)), prefixes - together)
    last = np.arange(len(session)) - np.repeat(offsets_of(prefixes - together)[:-1] - together, prefixes - together)
    cells = np.minimum(last + 1, length)
    whole = np.flatnonzero(together > 0)
    rows = BatchRows(
        session=np.concatenate([whole, session]),
        start=np.concatenate([sessions.offsets[whole], sessions.offsets[session] + last + 1 - cells]),
        cells=np.concatenate([together[whole], cells]),
        first=np.concatenate([np.zeros(len(whole), dtype=np.int64), cells - 1]),
    )
    return rows.take(np.lexsort((rows.start + rows.cells, rows.session)))


def _history_slices(corpus: Corpus, played: Sessions, policy: HistoryPolicy) -> tuple[IntArray, IntArray, IntArray]:
    """Slices of the corpus' flat arrays per played session: its history [n, 2], the number of sessions in it [n],
    and the session itself [n, 2].

    History is the leading run of the user's sessions that all ended before this one starts; ``frozen`` ends it with the
    train part. The slice of the session itself is empty unless it is a train session: a model counts only those.
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
    # Ranks of the times instead of the times: with a far-off one among them, user * span would overflow.
    distinct, rank = np.unique(np.concatenate([start, end]), return_inverse=True)
    start, end = rank[: len(start)], rank[len(start) :]
    user = sessions.user.astype(np.int64) * (len(distinct) + 1)
    latest_end = np.maximum.accumulate(user + end)
    before = np.searchsorted(latest_end, user + start, side="left")
    return np.minimum(before, np.arange(len(sessions))) - np.searchsorted(sessions.user, sessions.user, side="left")
