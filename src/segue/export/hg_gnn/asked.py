"""What the encoder's graph is asked: sessions, users and histories, as inputs and as the model has them stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from segue.data.corpus import Sessions
from segue.export.functions import counting, joined, larger, smaller, where, zeros
from segue.export.graph import Graph, Value
from segue.lean.hg_gnn.options import Window


@dataclass(frozen=True)
class Cells:
    """The last events of some rows by reversed position: cell 0 is the last one.

    mask [requests, cells]: whether there is an event. columns: their items, and what else was asked for, by name; what
    stands in them where there is none means nothing.
    """

    mask: Value
    columns: Mapping[str, Value]

    @property
    def items(self) -> Value:
        """Items, [requests, cells]."""
        return self.columns["items"]


@dataclass(frozen=True)
class Asked:
    """Some requests.

    Attributes:
        session: the running session within the window; where it is empty, the last items of the history. A number
            below zero, which operators would count from the end, becomes one that they refuse.
        length: its items, [requests].
        user: number of the user, that of unknown ones for those without a vector, [requests].
        fresh: whether the history is none that the model was fitted on, bool [requests].
        past: the last events of the history. sessions: of all of it, [requests]; None where nothing depends on it.
        time: of each request, epoch ms; None where nothing depends on it.
    """

    graph: Graph
    session: Cells
    length: Value
    user: Value
    fresh: Value
    past: Cells
    sessions: Value | None
    time: Value | None


class Numbers(NamedTuple):
    """How many items there are, users in the table, and users with a vector."""

    items: int
    rows: int
    known: int


def ask(graph: Graph, window: Window, stored: Sessions, n: Numbers, *, counts: bool) -> Asked:
    """The inputs of the encoder, and what follows from them.

    Args:
        stored: the users' train sessions.
        counts: whether the model has counts, which ask for times and sessions too.
    """
    items = graph.input("items", np.int64, ("batch", "length"))
    lengths, user = (graph.input(name, np.int64, ("batch",)) for name in ("lengths", "user"))
    user = where((user < 0) | (user > n.rows), n.rows, user)
    time = graph.input("time", np.int64, ("batch",)) if counts else None
    columns = ("items", "times", "sessions") if counts else ("items",)
    given = {name: graph.input(f"history_{name}", np.int64, ("batch", "history")) for name in columns}
    given_lengths = graph.input("history_lengths", np.int64, ("batch",))
    is_given = graph.input("history_given", np.bool_, ("batch",))
    trained = _Trained(graph, stored, n.rows, user)
    total = where(is_given, given_lengths, trained.lengths)

    def last(lengths: Value, most: int) -> tuple[Value, Value]:
        """Reversed positions of at most so many events: whether there is one, and its place from the oldest on."""
        width = smaller(larger(lengths.max(0), 1), max(most, 1))
        place = lengths.column(1) - counting(width) - 1
        mask = smaller(lengths, most).column(1) > counting(width)
        return mask, larger(place, 0)

    def past(place: Value) -> dict[str, Value]:
        chosen = is_given.column(1)
        return {name: where(chosen, _at(values, place), trained.at(name, place)) for name, values in given.items()}

    def checked(items: Value, mask: Value) -> Value:
        return where(mask, where(items < 0, n.items, items), 0)

    held = where(lengths > 0, lengths, total)
    mask, place = last(held, window.length)
    session = where((lengths > 0).column(1), _at(items, place), past(place)["items"])
    past_mask, past_place = last(total, window.history)
    earlier = past(past_place)
    earlier["items"] = checked(earlier["items"], past_mask)
    sessions = None
    if counts:
        newest = last(total, 1)[1]
        sessions = where(total > 0, past(newest)["sessions"].max(1) + 1, 0)
    return Asked(
        graph, Cells(mask, {"items": checked(session, mask)}), smaller(held, window.length), smaller(user, n.known),
        is_given | (user >= n.known), Cells(past_mask, earlier), sessions, time,
    )  # fmt: skip


class _Trained:
    """The histories that training saw, in one list after another; unknown users have an empty one."""

    def __init__(self, graph: Graph, stored: Sessions, rows: int, user: Value) -> None:
        sessions_of = np.searchsorted(stored.user, np.arange(rows + 1))
        offsets = stored.offsets[sessions_of]
        first_session = np.repeat(sessions_of[:-1], np.diff(offsets))
        session = np.repeat(np.arange(len(stored.user)), np.diff(stored.offsets))[: offsets[-1]]
        columns: dict[str, npt.NDArray[Any]] = {"items": stored.items, "times": stored.times}
        columns["sessions"] = session - first_session
        self._columns = {
            name: graph.stored(f"history.{name}", np.append(values[: offsets[-1]], values.dtype.type(0)))
            for name, values in columns.items()
        }
        offsets = np.append(offsets, offsets[-1])  # of the unknown user
        self._first = graph.stored("history.offsets", offsets.astype(np.int64)).take(user)
        self.lengths = graph.stored("history.offsets", offsets).take(user + 1) - self._first
        self._last = graph.value(np.int64(offsets[-1]))

    def at(self, name: str, place: Value) -> Value:
        """A column at places counted from the oldest event of each user, [requests, cells]."""
        return self._columns[name].take(smaller(self._first.column(1) + place, self._last)).to(np.int64)


def _at(values: Value, place: Value) -> Value:
    """Cells of padded rows [requests, width] at places [requests, cells]; beyond the width anything."""
    padded = joined([values, zeros(values.dtype, values.length(0), values.graph.value(np.int64(1)))], axis=1)
    return values.graph.op("GatherElements", padded, smaller(place, padded.length(1) - 1), axis=1)
