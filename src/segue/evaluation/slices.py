"""The events of an evaluation, and the slices its metrics are broken down by.

===============  ==============================================================================================
prefix_length    items in the running session so far: 1, 2-3, 4+
target           repeat in session (it occurs in the prefix), repeat in history (not there, but in a train session
                 of the user), new
popularity       of the target: items ordered by train events; head are the most popular ones that together hold the
                 first third of all train events, middle the next third, tail the rest and items never seen in train
history          train sessions of the user: 0, 1-4, 5-19, 20+
===============  ==============================================================================================

History means train sessions whatever the history policy of the evaluation, so slices of both policies compare.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segue.data.arrays import IntArray, offsets_of
from segue.data.corpus import Corpus, Sessions

SLICES: dict[str, tuple[str, ...]] = {
    "prefix_length": ("1", "2-3", "4+"),
    "target": ("repeat in session", "repeat in history", "new"),
    "popularity": ("head", "middle", "tail"),
    "history": ("0", "1-4", "5-19", "20+"),
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
    """

    user: IntArray
    session: IntArray
    first: IntArray
    position: IntArray
    target: IntArray
    repeated: BoolArray

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
    sessions_of_user = np.bincount(corpus.train.user, minlength=corpus.users.num_rows)
    new = np.where(_in_history(corpus, events), 1, 2)
    return {
        "prefix_length": np.searchsorted([1, 3], events.position + 1),
        "target": np.where(events.repeated, 0, new),
        "popularity": popularity_thirds(corpus.item_support)[events.target],
        "history": np.searchsorted([0, 4, 19], sessions_of_user[events.user]),
    }


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
    owner = np.repeat(train.user.astype(np.int64), train.lengths)
    return np.isin(events.user * corpus.n_items + events.target, owner * corpus.n_items + train.items)
