"""The statistics of a corpus: the rows of the paper's Table 1, and a few more that describe the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from segue.data.corpus import Corpus, Part, Sessions


def table1(corpus: Corpus) -> dict[str, Any]:
    """The rows of the paper's Table 1 for this corpus, then further ones; label → count or mean, in order.

    The paper's train sessions are train and validation here. Users are those that occur in a session and have an id.
    Shares are fractions of the events (a prefix and its target): those whose target is the last item of the prefix
    (immediate repeats), is any item of it, or whose prefix is one item; and of the interactions, those with an item
    that the user has interacted with before, in this or an earlier session.
    """
    sessions = corpus.sessions
    by_part = {part: int(np.count_nonzero(corpus.part == part)) for part in Part}
    users = int(np.sum(np.asarray(corpus.users.column("user_id").is_valid())[np.unique(sessions.user)]))
    events = int((sessions.lengths - 1).sum())
    return {
        "No. of users": users,
        "No. of items": corpus.n_items,
        "No. of sessions": len(sessions),
        "Avg. of session length": _ratio(len(sessions.items), len(sessions)),
        "Session per user": _ratio(len(sessions), users),
        "No. of train sessions": by_part[Part.TRAIN] + by_part[Part.VALIDATION],
        "No. of test sessions": by_part[Part.TEST],
        "No. of validation sessions": by_part[Part.VALIDATION],
        "No. of interactions": len(sessions.items),
        "No. of events": events,
        "Share of immediate repeats": _ratio(_immediate_repeats(sessions), events),
        "Share of repeats in session": _ratio(_repeats(np.arange(len(sessions)), corpus), events),
        "Share of repeats of the user": _ratio(_repeats(sessions.user, corpus), len(sessions.items)),
        "Share of one-item prefixes": _ratio(int(np.count_nonzero(sessions.lengths > 1)), events),
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _repeats(owner: npt.NDArray[Any], corpus: Corpus) -> int:
    """Number of interactions with an item that their owner (a session or a user) has interacted with before."""
    owner_of_event = np.repeat(owner.astype(np.int64), corpus.sessions.lengths)
    return len(owner_of_event) - len(np.unique(owner_of_event * corpus.n_items + corpus.sessions.items))


def _immediate_repeats(sessions: Sessions) -> int:
    same = np.concatenate([[False], sessions.items[1:] == sessions.items[:-1]])
    same[sessions.offsets[:-1]] = False
    return int(np.count_nonzero(same))
