"""From a request as somebody asks it to one in the model's numbers, with what has to be said about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from segue.artifact.contents import Contents
from segue.data.arrays import IntArray
from segue.data.present import present
from segue.errors import RequestError
from segue.lean.model import Answering
from segue.lean.request import Asked, Past
from segue.serving.past_sessions import PastSession, in_numbers, joined, past_of
from segue.serving.request import Seen, count_of, explain_of, ids_of, seen_of, share_of, time_of, user_of
from segue.serving.vocabulary import Vocabulary

_NOBODY = "nothing is known of this session or user"
_NO_ITEM = "neither the session nor the history holds an item that the model knows"


@dataclass(frozen=True)
class Request:
    """One request of many; the fields are the arguments of :meth:`segue.Recommender.recommend`."""

    user: str | None = None
    items: Sequence[str] = ()
    k: int = 10
    exclude: Iterable[str] = ()
    candidates: Iterable[str] | None = None
    history: Sequence[str] | Sequence[PastSession] | None = None
    exclude_seen: Seen | None = None
    time: int | datetime | np.datetime64 | None = None
    discover: float = 0.0
    explain: bool = True

    @classmethod
    def of(cls, value: Request | Mapping[str, Any]) -> Self | Request:
        """A request as it is, or from its fields by name. Raises RequestError for anything else."""
        if isinstance(value, Request):
            return value
        if not isinstance(value, Mapping):
            raise RequestError(f"a request is a mapping of {', '.join(_NAMES)}, found a {type(value).__name__}")
        if unknown := [name for name in value if name not in _NAMES]:
            raise RequestError(f"a request has no {unknown[0]!r:.60}; it has {', '.join(_NAMES)}")
        return cls(**value)


_NAMES = tuple(field.name for field in fields(Request))


@dataclass(frozen=True)
class Running:
    """What is known of a live session that is going on, beside the request.

    Attributes:
        own, own_times: ids of its items as live counts hold them, and when each happened, epoch ms: they must not vouch
            for themselves.
        start: time of its first event, epoch ms; of the trained history only sessions that ended before it count.
        finished: the user's sessions since then, oldest first; they follow the trained history.
        named: whether live events name the user.
    """

    own: Sequence[str] = ()
    own_times: Sequence[int] = ()
    start: int | None = None
    finished: Sequence[PastSession] = ()
    named: bool = False


NOTHING_LIVE = Running()


@dataclass(frozen=True)
class Eligible:
    """Which items may be recommended.

    Attributes:
        allowed: numbers of the only items that may; None: all.
        barred: numbers of items that may not.
        n_items: of all items.
    """

    allowed: IntArray | None
    barred: IntArray
    n_items: int

    @property
    def mask(self) -> npt.NDArray[np.bool_] | None:
        """Whether each item may be recommended, bool [items]; None: all may."""
        if self.allowed is None and not len(self.barred):
            return None
        eligible = np.full(self.n_items, self.allowed is None)
        if self.allowed is not None:
            eligible[self.allowed] = True
        eligible[self.barred] = False
        return eligible


@dataclass(frozen=True)
class Understood:
    """A request in the model's numbers.

    Attributes:
        user: id of the user, as text.
        asked: what the model is asked; None where nothing is known to ask it about.
        session: items that the recommendations follow, cut to the model's window.
        shown: known items of the running session, empty where `session` starts from the history.
        past: items of the user's history.
        eligible: which items may be recommended.
        skipped: ids of the request that the model does not know.
        warnings: what has to be said about the request; answering it may add more.
    """

    user: str | None
    asked: Asked | None
    session: IntArray
    shown: IntArray
    past: IntArray
    has_past: bool
    eligible: Eligible
    k: int
    discover: float
    explain: bool
    user_known: bool
    skipped: tuple[str, ...]
    warnings: list[str]


class Reader:
    """Understands requests to one model.

    Attributes:
        items, users: the ids that the model knows.
        trained_until: end of the training data, epoch ms.
    """

    def __init__(self, contents: Contents, model: Answering) -> None:
        self._history, self._model = contents.history, model
        self.items = Vocabulary(contents.items.column("item_id").to_pylist())
        self.users = Vocabulary(contents.users.column("user_id").to_pylist())
        self._sessions_of = np.searchsorted(contents.history.user, np.arange(len(self.users) + 1))
        self.trained_until = present(contents.history.times)

    def understand(self, request: Request, running: Running = NOTHING_LIVE) -> Understood:
        """A request in numbers. Raises RequestError for a value that is none of its kind."""
        k, seen, share = count_of(request.k), seen_of(request.exclude_seen), share_of(request.discover)
        user, items = user_of(request.user), ids_of(request.items, "items")
        time = time_of(request.time, self.trained_until)
        warnings: list[str] = []
        shown, skipped = self.items.numbers(items)
        number, past, known, past_skipped = self._past(user, request.history, running)
        given = request.history is not None or len(running.finished) > 0
        if user is not None and not known:
            warnings.append(self._about_user(user, given, running))
        session = self._session(shown, past.items, given or known, warnings)
        eligible = self._eligible(ids_of(request.exclude, "exclude"), seen, request.candidates, shown, past, warnings)
        own = self.items.numbers(running.own)[0], np.array(running.own_times, dtype=np.int64)
        asked = Asked(session, number, time, past, given or not known, *own) if len(session) else None
        # An anonymous session gets a user term too, that of everybody unknown: it speaks of no earlier session.
        has_past = known or len(past.items) > 0
        return Understood(
            user, asked, session, shown, past.items, has_past, eligible, k, share, explain_of(request.explain), known,
            (*skipped, *past_skipped), warnings,
        )  # fmt: skip

    def _session(self, shown: IntArray, past: IntArray, something_known: bool, warnings: list[str]) -> IntArray:
        """The items that the recommendations follow."""
        session = shown
        if not len(session) and len(past):
            session = past
            warnings.append("the session is empty: it starts from the user's last history items")
        if not len(session):
            missing = _NO_ITEM if something_known else _NOBODY
            warnings.append(f"{missing}: these are the most popular items")
        return session[-self._model.length :]

    def _about_user(self, user: str, with_history: bool, running: Running) -> str:
        if user in self.users:
            return f"user '{user}' had too few sessions to be learned: answered with the vector of unknown users"
        if running.named:
            answered = "from their live sessions" if running.finished else "as an anonymous session so far"
            return f"user '{user}' is known from live events alone: answered {answered}"
        answered = "answered from the given history" if with_history else "answered as an anonymous session"
        return f"user {self.users.in_words([user])} is unknown to the model: {answered}"

    def _past(
        self, user: str | None, history: Sequence[str] | Sequence[PastSession] | None, running: Running
    ) -> tuple[int, Past, bool, list[str]]:
        """The user's number, their history, whether the model knows the user, and unknown items of the history."""
        row = self.users.number(user) if user is not None else None
        n_users = self._model.n_users
        number = min(row, n_users) if row is not None else n_users
        if history is not None:
            past, skipped = past_of(history, self.items, self.trained_until)
        else:
            past, skipped = self._trained(row, running.start), []
        if running.finished:
            later, unknown = in_numbers(running.finished, self.items, self.trained_until)
            past, skipped = joined(past, later), [*skipped, *unknown]
        return number, past, number < n_users, skipped

    def trained_history(self, user: str) -> Past:
        """What training saw of a user."""
        return self._trained(self.users.number(user), None)

    def _trained(self, row: int | None, start: int | None) -> Past:
        """What training saw of the user in this row of the table; with `start` only sessions that ended before it."""
        first, last = (self._sessions_of[row], self._sessions_of[row + 1]) if row is not None else (0, 0)
        stored = self._history
        if start is not None and last > first:
            ended = stored.times[stored.offsets[first + 1 : last + 1] - 1] < start
            last = first + (len(ended) if ended.all() else int(ended.argmin()))
        cells = slice(int(stored.offsets[first]), int(stored.offsets[last]))
        offsets = stored.offsets[first : last + 1] - stored.offsets[first]
        return Past(stored.items[cells].astype(np.int64), stored.times[cells], offsets)

    def _eligible(
        self,
        exclude: Sequence[str],
        seen: Seen | None,
        candidates: Iterable[str] | None,
        shown: IntArray,
        past: Past,
        warnings: list[str],
    ) -> Eligible:
        """Which items may be recommended."""
        barred = [self._known(exclude, "excluded items are unknown to the model and exclude nothing", warnings)]
        barred += [shown] if seen else []
        barred += [past.items] if seen == "history" else []
        allowed = None
        if candidates is not None:
            wanted = ids_of(candidates, "candidates")
            allowed = self._known(wanted, "candidates are unknown to the model", warnings)
        return Eligible(allowed, np.unique(np.concatenate(barred)), len(self.items))

    def _known(self, ids: Sequence[str], what: str, warnings: list[str]) -> IntArray:
        """The numbers of the known ids; of others is warned."""
        numbers, unknown = self.items.numbers(ids)
        if unknown:
            warnings.append(f"{len(unknown)} of {len(ids)} {what}: {self.items.in_words(unknown)}")
        return numbers
