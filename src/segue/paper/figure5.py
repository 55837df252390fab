"""Figure 5: two users whose sessions overlap and whose tastes differ, and the lists of two models for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from segue.compare.row import EntrantRow
from segue.data.arrays import IntArray
from segue.data.corpus import Corpus, Part, Sessions, load
from segue.errors import UserMistake
from segue.paper.plan import Plan
from segue.paper.rows import any_result, baseline, hg_gnn, measured
from segue.paper.sheet import Sheet
from segue.report.table import Cell, Table
from segue.serving.recommender import Recommender
from segue.serving.request import Seen

_LISTED = 5
_PREFIX = 2
"""Fewest items in a prefix: after a single item the paper's model gives every user one list."""
_HISTORY = 10
"""Fewest items in a user's train sessions, where enough users have them: short histories differ by chance."""
_SESSIONS, _PAIRS = 3_000, 20_000
"""Limits: test sessions that are compared, evenly spaced, and pairs whose users' tastes are compared."""


@dataclass(frozen=True)
class Pair:
    """Two test sessions without their last items.

    Attributes:
        users: user numbers. prefixes: item numbers, oldest first. targets: the items that came next.
        overlap: Jaccard index of the two prefixes. taste: cosine of the users' train counts, 0 to 1.
    """

    users: tuple[int, int]
    prefixes: tuple[list[int], list[int]]
    targets: tuple[int, int]
    overlap: float
    taste: float


def similar_sessions(corpus: Corpus) -> Pair:
    """The pair of known users' test sessions with the largest overlap × (1 - taste), chosen without any model.

    Pairs share two items or more; one item is enough where no such pair exists. Raises UserMistake when no two users'
    test sessions of three items or more share an item.
    """
    test = corpus.select(Part.TEST)
    known = _worth_comparing(corpus, test)
    spaced = np.unique(np.linspace(0, max(len(known) - 1, 0), min(_SESSIONS, len(known))).astype(np.int64))
    test = test.take(known[spaced])
    first, second, shared, overlap = _overlapping(test, corpus.n_items)
    if not len(first):
        raise UserMistake(
            f"no two users have test sessions of more than {_PREFIX} items that share one; figure5 needs a corpus where"
            " some do"
        )
    best = np.lexsort((second, first, -shared, -overlap))[:_PAIRS]
    first, second, overlap = first[best], second[best], overlap[best]
    taste = _taste(corpus, test.user[first].astype(np.int64), test.user[second].astype(np.int64))
    chosen = int(np.argmax(overlap * (1 - taste)))
    a, b = int(first[chosen]), int(second[chosen])
    items = [test.items[test.offsets[row] : test.offsets[row + 1]].tolist() for row in (a, b)]
    return Pair(
        (int(test.user[a]), int(test.user[b])),
        (items[0][:-1], items[1][:-1]),
        (items[0][-1], items[1][-1]),
        float(overlap[chosen]),
        float(taste[chosen]),
    )


def _worth_comparing(corpus: Corpus, test: Sessions) -> IntArray:
    """Rows of known users' test sessions with a long enough prefix, of users with a long enough history."""
    named = np.asarray(corpus.users.column("user_id").is_valid())
    rows = np.flatnonzero((test.user < corpus.n_users) & named[test.user] & (test.lengths > _PREFIX))
    items = np.bincount(np.repeat(corpus.train.user, corpus.train.lengths), minlength=len(named))
    with_history = rows[items[test.user[rows]] >= _HISTORY]
    return with_history if len(np.unique(test.user[with_history])) > 1 else rows


def _overlapping(test: Sessions, n_items: int) -> tuple[IntArray, IntArray, IntArray, np.ndarray[Any, Any]]:
    """Pairs of prefixes of different users with common items: rows, rows, shared items, Jaccard index; all [pairs]."""
    inner = np.ones(len(test.items), dtype=bool)
    inner[test.offsets[1:] - 1] = False
    session = np.repeat(np.arange(len(test)), test.lengths)[inner]
    contents = sparse.csr_matrix((np.ones(len(session)), (session, test.items[inner])), shape=(len(test), n_items))
    contents.data[:] = 1
    common = sparse.triu(contents @ contents.T, k=1).tocoo()
    wanted = test.user[common.row] != test.user[common.col]
    if (wanted & (common.data >= 2)).any():
        wanted &= common.data >= 2
    first, second = common.row[wanted].astype(np.int64), common.col[wanted].astype(np.int64)
    shared = common.data[wanted].astype(np.int64)
    size = np.diff(contents.indptr)
    return first, second, shared, shared / (size[first] + size[second] - shared)


def _taste(corpus: Corpus, one: IntArray, other: IntArray) -> np.ndarray[Any, Any]:
    """Cosine of two users' train counts, [pairs]."""
    train = corpus.train
    owner = np.repeat(train.user, train.lengths)
    shape = (corpus.users.num_rows, corpus.n_items)
    counts = sparse.csr_matrix((np.ones(len(owner)), (owner, train.items)), shape=shape)
    length = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
    product = np.asarray(counts[one].multiply(counts[other]).sum(axis=1)).ravel()
    return np.asarray(product / np.maximum(length[one] * length[other], 1e-12))


def case_study(plan: Plan) -> Sheet:
    """Figure 5: the top five items for each of the two users, from HG-GNN and from SR-GNN."""
    corpus = load(plan.corpus)
    pair = similar_sessions(corpus)
    rows = measured(plan, {"HG-GNN": [hg_gnn()], "SR-GNN": [baseline("sr_gnn")]})
    lists = {label: _lists(row.measured, corpus, pair) for label, row in rows.items() if row.measured}
    users = [corpus.user_ids[user] for user in pair.users]
    names = _Names(corpus)
    tables = [_sessions_table(corpus, pair, users, names)]
    tables += [_list_table(f"{label}, top {_LISTED}", users, both, names) for label, both in lists.items()]
    missing = [f"{label} is not shown: {row.reason}." for label, row in rows.items() if row.reason]
    common = {label: len(set(one) & set(other)) for label, (one, other) in lists.items()}
    caption = (
        *plan.protocol_caption(any_result(rows), "HG-GNN at preset paper, SR-GNN under the same conditions"),
        "The two users were found by their data alone: of the test sessions of different users, the pair with the"
        f" largest overlap × (1 - likeness of taste); here the prefixes overlap by {pair.overlap:.2f} (Jaccard) and the"
        f" train histories are alike by {pair.taste:.2f} (cosine). One pair is an illustration, not evidence.",
        "Blue and bold: recommended to both users (above: in both sessions); orange and italic: to this one alone."
        + "".join(f" {label}: {count} of {_LISTED} shared." for label, count in common.items()),
        *missing,
    )
    facts = {
        "users": users,
        "sessions": [[corpus.item_ids[item] for item in prefix] for prefix in pair.prefixes],
        "next": [corpus.item_ids[item] for item in pair.targets],
        "overlap": pair.overlap,
        "taste": pair.taste,
        "lists": lists,
        "shared": common,
        "rows": {label: row.as_dict() for label, row in rows.items()},
    }
    title = "Figure 5: one session, two users"
    return Sheet("figure5", title, caption, tuple(tables), facts)


class _Names:
    """Names of the items by their ids; an item without a name is called by its id."""

    def __init__(self, corpus: Corpus) -> None:
        self._of = dict(zip(corpus.item_ids, corpus.items.column("name").to_pylist(), strict=True))

    def __call__(self, item: str) -> str:
        return self._of.get(item) or item


def _lists(row: EntrantRow, corpus: Corpus, pair: Pair) -> tuple[list[str], list[str]]:
    """The items recommended to either user, by the model of the first seed."""
    recommender = Recommender.load(row.runs[0])
    masked: Seen | None = "session" if row.measurements[0].masked else None
    lists = []
    for user, prefix in zip(pair.users, pair.prefixes, strict=True):
        items = [corpus.item_ids[item] for item in prefix]
        answer = recommender.recommend(corpus.user_ids[user], items, _LISTED, exclude_seen=masked)
        lists.append([entry.item for entry in answer])
    return lists[0], lists[1]


def _sessions_table(corpus: Corpus, pair: Pair, users: Sequence[str], names: _Names) -> Table:
    common = set(pair.prefixes[0]) & set(pair.prefixes[1])
    rows: dict[str, list[Cell]] = {}
    for position in range(max(map(len, pair.prefixes))):
        rows[f"session, item {position + 1}"] = [
            Cell(names(corpus.item_ids[prefix[position]]), "shared" if prefix[position] in common else "")
            if position < len(prefix)
            else Cell("")
            for prefix in pair.prefixes
        ]
    rows["came next"] = [Cell(names(corpus.item_ids[item])) for item in pair.targets]
    favourites = [_favourites(corpus, user) for user in pair.users]
    rows["most often before"] = [Cell(", ".join(names(item) for item in items)) for items in favourites]
    return Table(("", *(f"user {user}" for user in users)), rows, "The two sessions, and what the users liked before")


def _favourites(corpus: Corpus, user: int) -> list[str]:
    train = corpus.train
    owned = train.items[np.repeat(train.user, train.lengths) == user]
    counted = Counter(owned.tolist()).items()
    return [corpus.item_ids[item] for item, _ in sorted(counted, key=lambda pair: (-pair[1], pair[0]))[:_LISTED]]


def _list_table(title: str, users: Sequence[str], both: tuple[list[str], list[str]], names: _Names) -> Table:
    common = set(both[0]) & set(both[1])
    rows = {
        str(rank + 1): [
            Cell(names(items[rank]), "shared" if items[rank] in common else "personal")
            if rank < len(items)
            else Cell("")
            for items in both
        ]
        for rank in range(max(map(len, both)))
    }
    return Table(("", *(f"user {user}" for user in users)), rows, title)
