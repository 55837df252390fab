"""A user's earlier sessions as somebody gives them, and as the model reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from segue.data.arrays import IntArray, offsets_of
from segue.errors import RequestError
from segue.lean.request import Past
from segue.serving.request import ids_of, time_of
from segue.serving.vocabulary import Vocabulary

Time = int | datetime | np.datetime64


@dataclass(frozen=True)
class PastSession:
    """An earlier session of a user.

    Attributes:
        items: ids, oldest first.
        times: of each item, epoch ms or datetimes, in the same order; or one time for all of them.
    """

    items: Sequence[str]
    times: Sequence[Time] | Time


def past_of(history: Any, known: Vocabulary, trained_until: int) -> tuple[Past, list[str]]:
    """A given history in numbers, and its unknown items.

    Args:
        history: ids, which are one session at the end of the training data; or sessions, each a :class:`PastSession`
            or a mapping of its fields, the oldest first.

    Raises RequestError for anything else, and for sessions that are not in the order of their times.
    """
    sessions = list(history) if _can_be_sessions(history) else []
    if not sessions or not any(isinstance(each, PastSession | Mapping) for each in sessions):
        items, skipped = known.numbers(ids_of(history, "history"))
        whole = np.array([0, len(items)] if len(items) else [0])  # without times: one session
        return Past(items, np.full(len(items), trained_until, dtype=np.int64), whole), skipped
    return in_numbers([_read(each, place) for place, each in enumerate(sessions, start=1)], known, trained_until)


def in_numbers(sessions: Sequence[PastSession], known: Vocabulary, trained_until: int) -> tuple[Past, list[str]]:
    """Sessions in numbers, and their unknown items; a session without a known item is none.

    Raises RequestError for sessions that are not in the order of their beginnings, and for items out of order.
    """
    items, times, lengths, skipped, latest = [], [], [], [], None
    for place, session in enumerate(sessions, start=1):
        ids = ids_of(session.items, "history")
        at = _times(session.times, len(ids), place, trained_until)
        if len(at) and latest is not None and at[0] < latest:
            raise RequestError(f"history: session {place} began before the one before it; give the oldest first")
        latest = int(at[0]) if len(at) else latest
        numbers, unknown = known.numbers(ids)
        items.append(numbers)
        times.append(at if not unknown else at[[each in known for each in ids]])
        lengths.append(len(numbers))
        skipped += unknown
    flat, at = (np.concatenate([np.zeros(0, dtype=np.int64), *parts]) for parts in (items, times))
    return Past(flat, at, offsets_of(np.array([length for length in lengths if length], dtype=np.int64))), skipped


def joined(first: Past, second: Past) -> Past:
    """Two histories as one, the second after the first."""
    offsets = np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]])
    return Past(np.concatenate([first.items, second.items]), np.concatenate([first.times, second.times]), offsets)


def _read(value: Any, place: int) -> PastSession:
    if isinstance(value, Mapping) and set(value) == {"items", "times"}:
        return PastSession(**value)
    if isinstance(value, PastSession):
        return value
    raise RequestError(
        f"history: entry {place} is no session, others are; write PastSession(items, times) or"
        ' {"items": […], "times": […]}'
    )


def _times(times: Any, length: int, place: int, trained_until: int) -> IntArray:
    """Times of the items of a session."""
    if times is None:
        raise RequestError(f"history: session {place} has no times; give one, or one of each item")
    if isinstance(times, str | bytes | Mapping) or not hasattr(times, "__len__") or getattr(times, "ndim", 1) == 0:
        return np.full(length, time_of(times, trained_until), dtype=np.int64)
    found = np.array([time_of(each, trained_until) for each in times], dtype=np.int64)
    if len(found) != length:
        raise RequestError(f"history: session {place} has {length} items and {len(found)} times; give one of each item")
    if (np.diff(found) < 0).any():
        raise RequestError(f"history: the times of session {place} are not in order; give its items oldest first")
    return found


def _can_be_sessions(history: Any) -> bool:
    return isinstance(history, Sequence) and not isinstance(history, str | bytes)
