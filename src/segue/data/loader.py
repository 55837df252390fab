"""Batches of a set of sessions: which rows are played, in which order, and what each may look back at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from segue.data.batches import Batch, HistoryPolicy, Store, long_tensor
from segue.data.corpus import Corpus, IntArray, Part, Sessions, offsets_of


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
            store=self._store,
        )
        return batch if self.device.type == "cpu" else batch.to(self.device)


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
    # Ranks of the times instead of the times: with a far-off one among them, user * span would overflow.
    distinct, rank = np.unique(np.concatenate([start, end]), return_inverse=True)
    start, end = rank[: len(start)], rank[len(start) :]
    base, span = 0, len(distinct) + 1
    user = sessions.user.astype(np.int64) * span
    latest_end = np.maximum.accumulate(user + (end - base))
    before = np.searchsorted(latest_end, user + (start - base), side="left")
    return np.minimum(before, np.arange(len(sessions))) - np.searchsorted(sessions.user, sessions.user, side="left")
