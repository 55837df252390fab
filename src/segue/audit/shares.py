"""Effects that a protocol has by itself: they are no mistake, and whoever reads a table should know their size."""

from __future__ import annotations

import numpy as np

from segue.audit.finding import Finding
from segue.audit.parts import Parts, starts
from segue.audit.times import share
from segue.data.corpus import Sessions


def others_later(train: Sessions, test: Sessions) -> Finding:
    """The leak of the per-user split itself: one user's test precedes what another user's train tells."""
    earlier, median = _knows_the_future(train, test)
    return Finding(
        "others' train after a test session",
        "how many test events belong to a session that began before another user's newest train event",
        "share" if earlier else "clean",
        f"{earlier:,} of {len(test.items):,} test events ({share(earlier, len(test.items))}); the median test event has"
        f" {100 * median:.1f} % of all train events after it",
        {"events": earlier, "of": len(test.items), "median_train_after": round(median, 6)},
    )


def _knows_the_future(train: Sessions, test: Sessions) -> tuple[int, float]:
    """Test events of sessions that began before another user's newest train event, and the median over all test
    events of the share of train events, by others, that are later than the session's start."""
    if not len(test) or not len(train):
        return 0, 0.0
    begin = starts(test)
    times = np.sort(train.times)
    later = len(times) - np.searchsorted(times, begin, side="right")
    order = np.lexsort((train.times, np.repeat(train.user, train.lengths)))
    own_user, own_time = np.repeat(train.user, train.lengths)[order], train.times[order]
    # The user's own train events after the start are subtracted: they lie between `first` and `last` in that order.
    first, last = (np.searchsorted(own_user, test.user, side=side) for side in ("left", "right"))
    own = np.zeros(len(test), dtype=np.int64)
    for row in np.flatnonzero(last > first).tolist():
        own[row] = last[row] - first[row] - np.searchsorted(own_time[first[row] : last[row]], begin[row], side="right")
    others = later - own
    median = np.median(np.repeat(others, test.lengths)) / len(times)
    return int(test.lengths[others > 0].sum()), float(median)


def filters(parts: Parts) -> Finding:
    """Whether what test holds decided which items and users train has."""
    settings = parts.settings
    least = (settings.filters.min_item_support, settings.filters.min_user_sessions)
    checked = "whether the filters counted events of test when they chose the items and users of train"
    numbers = {"min_item_support": least[0], "min_user_sessions": least[1], "scope": settings.filters.scope}
    if settings.filters.scope == "train":
        found = "they counted train and validation alone (filters.scope=train)"
        return Finding("filters", checked, "clean", found, numbers)
    if max(least) <= 1:
        return Finding("filters", checked, "clean", "they keep every item and user, so nothing was counted", numbers)
    return Finding(
        "filters", checked, "share",
        f"they counted the whole log, as the paper's preparation does: an item needs {least[0]:,} events and a user"
        f' {least[1]:,} sessions, test included; filters.scope="train" leaves test out, and --log tells how much it'
        " changes",
        numbers,
    )  # fmt: skip
