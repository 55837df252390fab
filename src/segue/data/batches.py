"""From sessions to batches: one window, one collate, for training, evaluation and serving.

A batch is whole sessions and every position is an event. A row holds at most ``Window.length`` items; the events of
a longer session that lie beyond that get rows of their own, cut to the last ``Window.length`` items, so a model that
reads a row from left to right sees exactly the window it would be given when serving.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from segue.data.arrays import IntArray
from segue.data.corpus import Sessions
from segue.data.tensors import spans
from segue.settings.base import Config

HistoryPolicy = Literal["frozen", "rolling"]


class Window(Config):
    """How far back a model looks: part of the model's configuration, and stored with the trained model."""

    length: int = Field(20, ge=1, le=1_000_000)
    """Number of last items of the running session that the model looks at."""
    history: int = Field(0, ge=0, le=1_000_000_000)
    """Number of last items of the user's earlier sessions that the model looks at; 0 is no history."""


class UserWindow(Window):
    """Window of a model that cannot do without the user's earlier sessions."""

    history: int = Field(1000, ge=1, le=1_000_000_000)
    """Number of last items of the user's earlier sessions that the model looks at, at least one."""


class History(NamedTuple):
    """The history of the rows of a batch: earlier items of their users, flat and row by row, the oldest first.

    items, times (epoch ms); `begins` marks the first item of each session; `row` is the row each belongs to.
    """

    items: Tensor
    times: Tensor
    begins: Tensor
    row: Tensor


class Prefixes(NamedTuple):
    """Every event's prefix as a row of its own, oldest item first, padded on the right; all [events, length]."""

    items: Tensor
    mask: Tensor
    reversed_position: Tensor
    """0 for the last item of the prefix, 1 for the one before; 0 where padded."""


@dataclass(frozen=True)
class Store:
    """Flat tensors of all sessions a batch may look back into, [events]: items, times (epoch ms), both int64; and
    whether the event is the first of its session, bool."""

    items: Tensor
    times: Tensor
    begins: Tensor

    @classmethod
    def of(cls, sessions: Sessions, device: torch.device) -> Self:
        """The store of some sessions."""
        begins = beginnings(sessions.offsets)
        return cls(*(t.to(device) for t in (long_tensor(sessions.items), long_tensor(sessions.times), begins)))


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
        fresh: [rows] bool; whether the history differs from what the model was fitted on (an unknown user, a rolling
            history).
        slot: [rows] int64; for models that carry a state: index of the state that belongs to the row.
        continues: [rows] bool; whether the state at `slot` is from the row's own past (its session one item earlier, or
            its user one session earlier).
        whole: the batch that several processes play together, where this is the share of one of them.
        share: [events] places of the own events among those of `whole`.
        idle: whether this share has no row of its own and plays one that counts for nothing.
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
    slot: Tensor
    continues: Tensor
    store: Store
    whole: Batch | None = None
    share: Tensor | None = None
    idle: bool = False

    def __len__(self) -> int:
        """Number of events."""
        return len(self.target)

    @property
    def joined(self) -> Batch:
        """The batch of which this is a share: what is normalised over a batch, or compared within it, goes by that.

        Itself where one process trains.
        """
        return self if self.whole is None else self.whole

    @property
    def place(self) -> Tensor:
        """The place of each event among those of `joined`, [events]."""
        return torch.arange(len(self), device=self.target.device) if self.share is None else self.share

    def history(self, max_items: int, max_sessions: int | None = None) -> History:
        """The last `max_items` items of every row's history, of its last `max_sessions` sessions at most."""
        return look_back(self.store, self.past, max_items, max_sessions)

    def own_items(self) -> tuple[Tensor, Tensor, Tensor]:
        """Items of the running sessions that the model has counted, each session once, however many rows it has.

        Returns items and the session of each, both flat; and the session of each row. Sessions count from 0.
        """
        start, session = torch.unique(self.own[:, 0], return_inverse=True)
        end = torch.zeros_like(start).scatter_(0, session, self.own[:, 1])
        cells, owner = spans(start, end - start)
        return self.store.items[cells], owner, session

    def prefixes(self) -> Prefixes:
        """Every event's prefix as a row of its own."""
        length = int(self.position.max()) + 1 if len(self) else 0
        cell = torch.arange(max(length, 1), device=self.items.device)
        reversed_position = self.position[:, None] - cell
        mask = reversed_position >= 0
        items = self.items[:, : len(cell)][self.row] * mask
        return Prefixes(items, mask, reversed_position.clamp(min=0))

    def anonymise(self, rows: Tensor, unknown_user: int) -> Self:
        """This batch with the marked rows (bool [rows]) as sessions of an unknown user without history."""
        return replace(
            self,
            user=self.user.masked_fill(rows, unknown_user),
            past=self.past.masked_fill(rows[:, None], 0),
            past_sessions=self.past_sessions.masked_fill(rows, 0),
        )

    def to(self, device: torch.device) -> Self:
        """This batch on another device; the store must be there already."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "store"}
        moved: dict[str, Any] = {k: v.to(device) for k, v in values.items() if isinstance(v, Tensor | Batch)}
        return replace(self, **moved)


def look_back(store: Store, past: Tensor, max_items: int, max_sessions: int | None = None) -> History:
    """The last `max_items` items of each slice past [rows, 2] of `store`, of its last `max_sessions` sessions."""
    start, end = past.unbind(1)
    length = (end - start).clamp(max=max_items)
    cells, row = spans(end - length, length)
    begins = store.begins.index_select(0, cells)
    if max_sessions is not None:
        count = torch.cumsum(begins, 0)
        kept = count[torch.cumsum(length, 0)[row] - 1] - count < max_sessions
        cells, row, begins = cells[kept], row[kept], begins[kept]
    # Where the cut falls into a session, its first item left begins it.
    begins = begins.index_fill(0, (row.diff(prepend=row[:1] - 1) != 0).nonzero().squeeze(1), True)
    return History(store.items.index_select(0, cells), store.times.index_select(0, cells), begins, row)


class Past(NamedTuple):
    """A user's earlier sessions as flat arrays, the oldest first: items, times [events]; offsets [sessions + 1]."""

    items: IntArray
    times: IntArray
    offsets: IntArray


def request(
    items: IntArray,
    user: int,
    time: int,
    history: Past,
    length: int,
    *,
    fresh: bool = True,
) -> Batch:
    """Make the batch of a served request: a batch with one event.

    Args:
        items: known items of the running session, oldest first; may be empty.
        user: the user's number, or ``n_users`` for an unknown one.
        time: epoch ms.
        history: the user's earlier sessions.
        length: Window.length of the model.
        fresh: False when `history` is what the model was fitted on.
    """
    window = long_tensor(items)[-length:]
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
        past=torch.tensor([[0, len(history.items)]]),
        past_sessions=torch.tensor([len(history.offsets) - 1]),
        own=torch.zeros(1, 2, dtype=torch.int64),
        fresh=torch.tensor([fresh]),
        slot=torch.tensor([0]),
        continues=torch.tensor([False]),
        store=Store(long_tensor(history.items), long_tensor(history.times), beginnings(history.offsets)),
    )


def beginnings(offsets: IntArray) -> Tensor:
    """Whether each event is the first of its session, bool [events]; no session is empty."""
    begins = torch.zeros(int(offsets[-1]), dtype=torch.bool)
    begins[long_tensor(offsets[:-1])] = True
    return begins


def long_tensor(values: npt.NDArray[np.integer]) -> Tensor:
    """Whole numbers as an int64 tensor."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64))
