"""The cut of a corpus: no session in two parts, and nothing in an earlier part that comes after a later one began."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from segue.audit.finding import Finding
from segue.audit.parts import Parts, ends, owners, starts
from segue.audit.times import moment
from segue.data.corpus import Part, Sessions


def disjoint(parts: Parts) -> Finding:
    """No session number is in two of the parts."""
    shared = {
        f"{a.name.lower()} and {b.name.lower()}": len(np.intersect1d(parts.of(a).number, parts.of(b).number))
        for a, b in combinations(Part, 2)
    }
    twice = {names: count for names, count in shared.items() if count}
    return Finding(
        "sessions in two parts",
        "that no session, by its number, is in two of train, validation and test",
        "leak" if twice else "clean",
        "; ".join(f"{count:,} sessions are in {names}" for names, count in twice.items())
        or "no session is in two parts",
        {"sessions": sum(twice.values())},
    )


def cut(parts: Parts) -> Finding:
    """Every train event lies before the cut as the protocol of the corpus defines it."""
    return _by_time(parts) if parts.settings.split.protocol == "global_time" else _by_user(parts)


_NAME = "events after the cut"


def _by_time(parts: Parts) -> Finding:
    """Sessions in the order of their ends: train ends no later than validation, and both no later than test."""
    checked = "that no train session ended after validation's first, and none of both after test's first (global_time)"
    split = parts.manifest.get("split", {})
    recorded, bound = split.get("last_train_end"), split.get("first_test_end")
    validation = ends(parts.of(Part.VALIDATION)).min(initial=np.iinfo(np.int64).max)
    late = int((parts.train.times > validation).sum())
    found = [f"{late:,} train events are later than the end of validation's first session"] if late else []
    last = max(int(ends(parts.of(part)).max()) for part in (Part.TRAIN, Part.VALIDATION) if len(parts.of(part)))
    if type(recorded) is int and last != recorded:
        found.append(
            f"train and validation end at {moment(last)}, the preparation left them ending at {moment(recorded)}"
        )
    if type(bound) is not int or type(recorded) is not int:
        if found or not len(parts.of(Part.TEST)):
            clean = f"train and validation end at {moment(last)}, test holds no session"
            return Finding(_NAME, checked, "leak" if found else "clean", "; ".join(found) or clean, {"events": late})
        return Finding(_NAME, checked, "cannot", "the manifest does not say when test began; prepare the corpus again")
    beyond = sum(int((parts.of(part).times > bound).sum()) for part in (Part.TRAIN, Part.VALIDATION))
    if beyond and not found and parts.settings.filters.scope == "train" and recorded > bound:
        return Finding(
            _NAME, checked, "cannot",
            "the filters took the last events of the first test session, so its recorded end is too early to compare"
            " with; name the log (--log)",
        )  # fmt: skip
    if beyond:
        found.append(
            f"{beyond:,} events of train and validation are later than {moment(bound)}, when test's first session ended"
        )
    clean = f"train and validation end at {moment(last)}, test's first session at {moment(bound)}"
    return Finding(_NAME, checked, "leak" if found else "clean", "; ".join(found) or clean, {"events": late + beyond})


def _by_user(parts: Parts) -> Finding:
    """The sessions of each user in the order of their starts: train, then validation, then test."""
    n_users = len(parts.any.users)
    first = {part: _bound(parts.of(part), n_users) for part in Part}
    sessions = events = 0
    users: set[int] = set()
    for earlier, later in ((Part.TRAIN, Part.VALIDATION), (Part.TRAIN, Part.TEST), (Part.VALIDATION, Part.TEST)):
        own = parts.of(earlier)
        late = starts(own) > first[later][own.user]
        sessions, events = sessions + int(late.sum()), events + int(own.lengths[late].sum())
        users |= set(own.user[late].tolist())
    return Finding(
        _NAME,
        "that each user's train sessions start before their validation sessions, and these before test (user_80_20)",
        "leak" if sessions else "clean",
        f"{sessions:,} sessions of {len(users):,} users start after a session of a later part of the same user"
        if sessions
        else "every user's parts follow one another",
        {"sessions": sessions, "events": events, "users": len(users)},
    )


def overlap(parts: Parts) -> Finding:
    """Train sessions that were still going on when the same user's later part began; ids of sessions allow that."""
    n_users = len(parts.any.users)
    share: dict[str, int] = {}
    for earlier, later in pairwise(Part):
        own = parts.of(earlier)
        first = _bound(parts.of(later), n_users)
        share[earlier.name.lower()] = int((own.times > first[owners(own)]).sum())
    events = sum(share.values())
    return Finding(
        "sessions across the cut",
        "how many events lie after the first session of the next part of the same user began",
        "share" if events else "clean",
        f"{share['train']:,} train and {share['validation']:,} validation events, of sessions that began before it"
        if events
        else "none",
        share,
    )  # fmt: skip


def _bound(sessions: Sessions, n_users: int) -> NDArray[np.int64]:
    """The start of each user's first session, [users]; where there is none, later than everything."""
    bound = np.full(n_users, np.iinfo(np.int64).max)
    np.minimum.at(bound, sessions.user, starts(sessions))
    return bound
