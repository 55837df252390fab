"""The events of an evaluation, and the slices its metrics are broken down by.

===============  ==============================================================================================
prefix_length    items in the running session so far: 1, 2-3, 4+
target           repeat in session (it occurs in the prefix), repeat in history (not there, but in a train session
                 of the user), new
popularity       of the target: items ordered by train events; head are the most popular ones that together hold the
                 first third of all train events, middle the next third, tail the rest and items never seen in train
history          train sessions of the user: 0, 1-4, 5-19, 20+
click            whether the prefix is the first click of a session, of a known user (one with train sessions) or of
                 an unknown one, or reaches to a later click
user             anonymous (without a train session), one past session (a single train session), more past sessions
item_age         of the target: last day (its first train event lies within 24 hours before the event or later; for
                 events after the end of train, within the last 24 hours of train), earlier, never in train
===============  ==============================================================================================

History means train sessions whatever the history policy of the evaluation, so slices of both policies compare.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segue.data.arrays import IntArray, offsets_of
from segue.data.corpus import Corpus, Sessions
from segue.data.present import present
from segue.settings.units import DAY

SLICES: dict[str, tuple[str, ...]] = {
    "prefix_length": ("1", "2-3", "4+"),
    "target": ("repeat in session", "repeat in history", "new"),
    "popularity": ("head", "middle", "tail"),
    "history": ("0", "1-4", "5-19", "20+"),
    "click": ("first of a known user", "first of an unknown user", "later"),
    "user": ("anonymous", "one past session", "more past sessions"),
    "item_age": ("last day", "earlier", "never in train"),
}

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Events:
    """All events (prefix and target) of some sessions, by session and position; all [events].

    Attributes:
        user: row of the users table.
        session: number of the session in the corpus.
        first: index of the session's first item in the flat arrays.
        position: position of the prefix' last item in its session, from 0.
        target: item number.
        repeated: whether the target occurs in the prefix.
        time: of the prefix' last item, epoch ms.
    """

    user: IntArray
    session: IntArray
    first: IntArray
    position: IntArray
    target: IntArray
    repeated: BoolArray
    time: IntArray

    def __len__(self) -> int:
        return len(self.target)


def events_of(sessions: Sessions) -> Events:
    """All events, in the order in which an unshuffled Loader plays them."""
    count = np.maximum(sessions.lengths - 1, 0)
    index = np.repeat(np.arange(len(sessions)), count)
    position = np.arange(len(index)) - np.repeat(offsets_of(count)[:-1], count)
    first = sessions.offsets[index]
    following = first + position + 1
    return Events(
        user=sessions.user[index].astype(np.int64),
        session=sessions.number[index],
        first=first,
        position=position,
        target=sessions.items[following].astype(np.int64),
        repeated=~first_occurrences(sessions)[following],
        time=sessions.times[following - 1],
    )


def first_occurrences(sessions: Sessions) -> BoolArray:
    """Whether each click is the first one of its session on its item, [clicks]."""
    clicks = len(sessions.items)
    session = np.repeat(np.arange(len(sessions)), sessions.lengths)
    order = np.lexsort((np.arange(clicks), sessions.items, session))
    first = np.ones(clicks, dtype=np.bool_)
    item, session = sessions.items[order], session[order]
    first[order[1:]] = (item[1:] != item[:-1]) | (session[1:] != session[:-1])
    return first


def slice_columns(corpus: Corpus, events: Events) -> dict[str, IntArray]:
    """For each of :data:`SLICES` the number of the slice that each event belongs to, [events]."""
    past_sessions = np.bincount(corpus.train.user, minlength=corpus.users.num_rows)[events.user]
    new = np.where(_in_history(corpus, events), 1, 2)
    return {
        "prefix_length": np.searchsorted([1, 3], events.position + 1),
        "target": np.where(events.repeated, 0, new),
        "popularity": popularity_thirds(corpus.item_support)[events.target],
        "history": np.searchsorted([0, 4, 19], past_sessions),
        "click": np.where(events.position > 0, 2, np.where(past_sessions > 0, 0, 1)),
        "user": np.minimum(past_sessions, 2),
        "item_age": _item_age(corpus, events),
    }


def slice_column(kind: str) -> str:
    """The column of ``SPLIT.ranks.parquet`` that names the slice of each event, of one of :data:`SLICES`."""
    return f"slice_{kind}"


def popularity_thirds(support: IntArray) -> IntArray:
    """0 for head, 1 for middle, 2 for tail, [items]; `support` holds the train events of each item."""
    order = np.argsort(-support, kind="stable")
    before = np.cumsum(support[order]) - support[order]
    third = np.empty(len(support), dtype=np.int64)
    third[order] = np.minimum(3 * before // max(int(support.sum()), 1), 2)
    third[support == 0] = 2
    return third


def _in_history(corpus: Corpus, events: Events) -> BoolArray:
    """Whether the target of each event occurs in a train session of the user, [events]."""
    train = corpus.train
    asked = np.zeros(corpus.users.num_rows, dtype=np.bool_)
    asked[events.user] = True
    owner = np.repeat(train.user.astype(np.int64), train.lengths)
    of_asked = asked[owner]  # few of the users of a large log are asked about in a sample of its events
    known = owner[of_asked] * corpus.n_items + train.items[of_asked]
    return np.isin(events.user * corpus.n_items + events.target, known)


def _item_age(corpus: Corpus, events: Events) -> IntArray:
    """0 where the target of an event was first seen in the last day, 1 earlier, 2 never in train, [events]."""
    train = corpus.train
    first_seen = np.full(corpus.n_items, np.iinfo(np.int64).max)
    np.minimum.at(first_seen, train.items, train.times)
    # A model that was trained up to a moment can know nothing younger, however late it is asked.
    moment = np.minimum(events.time, present(train.times))
    seen = np.where(first_seen[events.target] >= moment - DAY, 0, 1)
    return np.where(corpus.item_support[events.target] > 0, seen, 2)
