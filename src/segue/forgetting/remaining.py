"""What is left of a corpus without some people: their sessions go, and with them the items that only they had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from segue.data.arrays import IntArray
from segue.data.corpus import Corpus, Part, Sessions
from segue.errors import CorpusError

_MIN_TEST_LENGTH = 2
"""Events of a test session that has one to predict."""


@dataclass(frozen=True)
class Remaining:
    """What is left, in the numbers of the new corpus, and where each row was before.

    Attributes:
        items: the number that each item had, ascending, [items]. users: the same of the rows of the table of users.
        n_users: known users among them, the first ones.
        sessions: in the order of user and start, numbered from 0. part: of each. rows: where each stood among the
            sessions of the old corpus.
        gone_items: numbers that the items had which nobody else has in train or validation.
        test_events: test events of others that went because their items did. test_sessions: that became too short.
        last_train_end: end of the last session of train and validation, epoch ms; None without one. first_test_end: of
            the first session of test, before its events went.
    """

    items: IntArray
    users: IntArray
    n_users: int
    sessions: Sessions
    part: npt.NDArray[np.int8]
    rows: IntArray
    gone_items: IntArray
    test_events: int
    test_sessions: int
    last_train_end: int | None
    first_test_end: int | None

    @property
    def known_rows(self) -> IntArray:
        """The numbers that the known users had, [n_users]."""
        return self.users[: self.n_users]


def remaining(whole: Corpus, people: Sequence[int]) -> Remaining:
    """What is left of a corpus without some rows of its table of users.

    No filter is applied again and no session changes its part, so that of others nothing changes but this: an item
    that nobody else has in train or validation leaves the vocabulary, and its events leave the test sessions of
    others, as they would have in a preparation without the people. Test sessions of fewer than two events go.

    Raises CorpusError where no train session or fewer than two users with an id would be left.
    """
    theirs = np.isin(whole.sessions.user, np.asarray(people))
    kept = np.flatnonzero(~theirs)
    sessions, part = whole.sessions.take(kept), whole.part[kept]
    items, of_item = _items(whole, sessions, part)
    cleaned, length_before = _without_items(sessions, part, of_item)
    users, of_user = _users(whole, people, cleaned.sessions)
    n_users = int((users < whole.n_users).sum())
    _refuse_too_little(cleaned.part, sum(whole.user_ids[row] is not None for row in users.tolist()))
    numbered, order = _in_order(cleaned.sessions, of_item, of_user)
    return Remaining(
        items=items,
        users=users,
        n_users=n_users,
        sessions=numbered,
        part=cleaned.part[order],
        rows=kept[cleaned.rows[order]],
        gone_items=np.setdiff1d(np.arange(whole.n_items), items),
        test_events=length_before - len(cleaned.sessions.items),
        test_sessions=len(sessions) - len(cleaned.sessions),
        last_train_end=max(_ends(sessions, part != Part.TEST).tolist(), default=None),
        first_test_end=min(_ends(sessions, part == Part.TEST).tolist(), default=None),
    )


@dataclass(frozen=True)
class _Cleaned:
    """Sessions with items of the new vocabulary alone, their parts, and where each stood before."""

    sessions: Sessions
    part: npt.NDArray[np.int8]
    rows: IntArray


def _items(whole: Corpus, sessions: Sessions, part: npt.NDArray[np.int8]) -> tuple[IntArray, IntArray]:
    """The numbers of the items that train or validation still hold, and the new number of each old one, -1 for none."""
    fitted = np.repeat(part != Part.TEST, sessions.lengths)
    items = np.unique(sessions.items[fitted]).astype(np.int64)
    return items, _new_numbers(items, whole.n_items)


def _users(whole: Corpus, people: Sequence[int], sessions: Sessions) -> tuple[IntArray, IntArray]:
    """The rows of the table of users that stay: known users, and others who still have a session."""
    stays = np.zeros(len(whole.users), dtype=np.bool_)
    stays[: whole.n_users] = True
    stays[sessions.user] = True
    stays[list(people)] = False
    users = np.flatnonzero(stays)
    return users, _new_numbers(users, len(whole.users))


def _new_numbers(kept: IntArray, size: int) -> IntArray:
    numbers = np.full(size, -1, dtype=np.int64)
    numbers[kept] = np.arange(len(kept))
    return numbers


def _without_items(sessions: Sessions, part: npt.NDArray[np.int8], of_item: IntArray) -> tuple[_Cleaned, int]:
    """Sessions without the events of items that are gone, and the number of events before; only test has such."""
    known = of_item[sessions.items] >= 0
    marked = replace(sessions, number=np.arange(len(sessions)))
    kept = marked.keep_events(known, 1)
    enough = (kept.lengths >= _MIN_TEST_LENGTH) | (part[kept.number] != Part.TEST)
    kept = kept.take(np.flatnonzero(enough))
    return _Cleaned(kept, part[kept.number], kept.number), len(sessions.items)


def _in_order(sessions: Sessions, of_item: IntArray, of_user: IntArray) -> tuple[Sessions, IntArray]:
    """The sessions in the order of user and start, with all numbers new; and the place of each before."""
    order = np.lexsort((sessions.number, sessions.times[sessions.offsets[:-1]], of_user[sessions.user]))
    taken = sessions.take(order)
    return Sessions(
        items=of_item[taken.items].astype(np.int32),
        times=taken.times,
        offsets=taken.offsets,
        user=of_user[taken.user].astype(np.int32),
        number=np.arange(len(taken)),
    ), order


def _ends(sessions: Sessions, chosen: npt.NDArray[np.bool_]) -> IntArray:
    """Time of the last event of each chosen session."""
    return sessions.times[sessions.offsets[1:] - 1][chosen]


def _refuse_too_little(part: npt.NDArray[np.int8], named: int) -> None:
    """Raise CorpusError, like the preparation, where fewer than two users or no train session would be left."""
    train = int((part == Part.TRAIN).sum())
    if named < 2 or not train:
        raise CorpusError(
            f"without these people users: {named:,}, train sessions: {train:,} would be left, and a corpus has at least"
            " two users and a train session; remove the model and its corpus instead"
        )
