"""What a request may hold: every value is obeyed, or refused in one line; none is read as something else."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Set
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

import numpy as np

from segue.data.ids import id_text
from segue.errors import RequestError

Seen = Literal["session", "history"]

_IN_ORDER = ("items", "history")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = np.datetime64("0001-01-01"), np.datetime64("9999-12-31")
LATEST = 9_223_372_036_854
"""The last millisecond that nanoseconds of 64 bits can hold, in the year 2262; later numbers count finer."""
_SECONDS = range(100_000_000, 100_000_000_000)
"""Numbers that are epoch seconds (1973 to 5138) where the model was trained on times after this range."""


def count_of(k: Any) -> int:
    """The number of items asked for. Raises RequestError unless it is a whole number of at least 1."""
    if isinstance(k, bool) or not isinstance(k, numbers.Integral):
        raise RequestError(f"k is a whole number, found {_shown(k)}; write k=10")
    if k < 1:
        raise RequestError(f"k must be at least 1, found {k}")
    return int(k)


def share_of(share: Any, what: str = "discover") -> float:
    """The share of the places that are reserved. Raises RequestError unless it is a number from 0 to 1.

    Args:
        what: the argument, as it reads at the beginning of a message.
    """
    number = isinstance(share, numbers.Real) and not isinstance(share, bool | np.bool_)
    if not number or not 0 <= share <= 1:
        found = share if number else _shown(share)
        raise RequestError(f"{what} is a share of the places from 0 to 1, found {found}; 0.2 is one place of five")
    return float(share)


def seen_of(seen: Any) -> Seen | None:
    """Which seen items stay out. Raises RequestError for anything but its two words and None."""
    if seen is not None and (not isinstance(seen, str) or seen not in get_args(Seen)):
        raise RequestError(
            f"exclude_seen is 'session' or 'history', found {_shown(seen)}; 'session' leaves out the items of the "
            "session, 'history' those of the user's earlier sessions too"
        )
    return seen  # type: ignore[return-value]


def user_of(user: Any) -> str | None:
    """The id of the user as text; None for an anonymous session. Raises RequestError for anything but one id."""
    if user is None:
        return None
    if not _is_one_id(user):
        raise RequestError(f"user is one id, found {_shown(user)}; ask for each user by itself")
    text = id_text(user)
    if text is None:
        raise RequestError(f"user is a missing value ({_shown(user)}); write None for an anonymous session")
    return text


def item_of(item: Any) -> str:
    """The id of an item as text. Raises RequestError for anything but one id."""
    text = id_text(item) if _is_one_id(item) else None
    if text is None:
        raise RequestError(f"item is one id, found {_shown(item)}; ask for each item by itself")
    return text


def explain_of(explain: Any) -> bool:
    """Whether reasons are asked for. Raises RequestError for anything but true and false: many words count as true."""
    if not isinstance(explain, bool | np.bool_):
        raise RequestError(f"explain is True or False, found {_shown(explain)}; write explain=False for no reasons")
    return bool(explain)


def ids_of(values: Any, what: str) -> list[str]:
    """Ids as text. Raises RequestError for a single id, for tables, for missing values among them, and for sets where
    the order counts.

    Args:
        what: the argument, as it reads at the beginning of a message: ``"items"``.
    """
    if values is None:
        raise RequestError(f"{what} are a list of ids, found None; write [] where there are none")
    if isinstance(values, str | bytes) or not _can_be_listed(values):
        raise RequestError(f"{what} are a list of ids, found {_shown(values)}; put it between [ ]")
    if _is_table(values) or isinstance(values, dict):
        raise RequestError(f"{what} are a list of ids, found {_shown(values)}; give one of its columns")
    if what in _IN_ORDER and isinstance(values, Set):
        raise RequestError(f"{what} are a list of ids, the oldest first, found {_shown(values)}, which has no order")
    texts = []
    for place, value in enumerate(values, start=1):
        if type(value) is str and value:  # nearly all are, and it is their text already
            texts.append(value)
            continue
        text = id_text(value) if _is_one_id(value) else None
        if text is None:
            raise RequestError(f"{what}: entry {place} is no id but {_shown(value)}; leave it out")
        texts.append(text)
    return texts


def time_of(time: Any, trained_until: int) -> int:
    """The time of the request in epoch milliseconds.

    Args:
        time: epoch milliseconds, or a ``datetime`` (pandas' too) or ``numpy.datetime64``; without a zone it is UTC.
            None: the end of the training data.
        trained_until: that end, epoch milliseconds.

    Raises RequestError for anything else, and for epoch seconds.
    """
    if time is None:
        return trained_until
    if isinstance(time, np.datetime64) and not np.isnat(time):
        if not _FIRST < time.astype("datetime64[D]") < _LAST:
            raise RequestError(f"time is of no year from 1 to 9999, found {_shown(time)}")
        return int(time.astype("datetime64[ms]").astype(np.int64))
    if isinstance(time, datetime) and time == time:  # pandas' missing time is no equal of itself
        return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)
    if isinstance(time, bool) or not isinstance(time, int | float | np.number) or not _is_finite(time):
        raise RequestError(f"time is epoch milliseconds or a datetime, found {_shown(time)}")
    milliseconds = int(time)
    if abs(milliseconds) > LATEST:
        raise RequestError(f"time is epoch milliseconds, found {_shown(time)}, which is beyond the year 2262")
    if milliseconds in _SECONDS and trained_until >= _SECONDS.stop:
        raise RequestError(
            f"time is epoch milliseconds, found {time}, which would be long before the training data: "
            f"if it counts seconds, write {int(float(time) * 1000)}"
        )
    return milliseconds


def _is_finite(number: Any) -> bool:
    return isinstance(number, int) or bool(np.isfinite(number))


def _is_one_id(value: Any) -> bool:
    return isinstance(value, str | bytes) or not (_can_be_listed(value) or _is_table(value))


def _is_table(value: Any) -> bool:
    return hasattr(type(value), "columns")


def _can_be_listed(value: Any) -> bool:
    """Whether a value holds others: arrays without dimensions say that they do, and do not."""
    return isinstance(value, Iterable) and getattr(value, "ndim", 1) != 0


def _shown(value: Any) -> str:
    """A value for messages, on one line and of bounded length."""
    kind = type(value).__name__
    if _is_table(value) or bool(getattr(value, "ndim", 0)):
        return f"a {kind} of {len(value)}" if hasattr(value, "__len__") else f"a {kind}"
    if isinstance(value, int) and abs(value) > LATEST:
        return f"a number beyond {LATEST:,}"
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 60 else text[:57] + '…'} ({kind})"
