"""The vocabularies of a corpus hold what train and validation hold, and nothing of test."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow.compute as pc

from segue.audit.finding import Finding, some
from segue.audit.parts import Parts
from segue.data.corpus import Part
from segue.data.lineage import blocks


def items(parts: Parts) -> Finding:
    """Every item of the vocabulary occurs in train or validation; numbers follow the ids and not, say, popularity."""
    corpus = parts.any
    foreign = np.flatnonzero(~parts.seen(Part.TRAIN, Part.VALIDATION))
    tested = int(parts.seen(Part.TEST)[foreign].sum())
    found = []
    if len(foreign):
        names = some(corpus.item_ids[item] for item in foreign.tolist())
        found.append(f"{len(foreign):,} items are in neither part, {tested:,} of them in test: {names}")
    ids = corpus.items.column("item_id").combine_chunks().cast("binary")
    ends = blocks(parts.manifest, len(ids))
    if not all(_ascending(ids.slice(first, last - first)) for first, last in pairwise([0, *ends])):
        found.append("the numbers of the items do not follow the order of their ids, so they may carry something else")
    only = int((parts.seen(Part.VALIDATION) & ~parts.seen(Part.TRAIN)).sum())
    return Finding(
        "item vocabulary",
        "that the items are those of train and validation, numbered by their ids",
        "leak" if found else "clean",
        "; ".join(found) or f"{corpus.n_items:,} items, {only:,} of them in validation and not in train{_since(ends)}",
        {"items": corpus.n_items, "foreign": len(foreign), "of_test": tested, "validation_only": only},
    )


def _ascending(ids: Any) -> bool:
    return len(ids) < 2 or bool(pc.all(pc.less(ids.slice(0, len(ids) - 1), ids.slice(1))).as_py())


def _since(ends: Sequence[int]) -> str:
    updates = len(ends) - 1
    return f"; {ends[-1] - ends[0]:,} came with {updates} updates, in the order of ids each" if updates else ""


def users(parts: Parts) -> Finding:
    """Every known user has a train or validation session."""
    corpus = parts.any
    has = np.zeros(len(corpus.users), dtype=np.bool_)
    for part in (Part.TRAIN, Part.VALIDATION):
        has[parts.of(part).user] = True
    foreign = np.flatnonzero(~has[: corpus.n_users])
    names = some(corpus.user_ids[user] for user in foreign.tolist())
    return Finding(
        "user vocabulary",
        "that every known user has a train or validation session",
        "leak" if len(foreign) else "clean",
        f"{len(foreign):,} known users have none: {names}" if len(foreign) else f"{corpus.n_users:,} known users",
        {"users": corpus.n_users, "foreign": len(foreign)},
    )


def only_later(parts: Parts) -> Finding:
    """Items and users that exist only after train: what no model can know, as the corpus counted it."""
    split = parts.manifest.get("split", {})
    unknown = split.get("events_of_unknown_items")
    unseen = ~parts.seen(Part.TRAIN)
    later = [(part.name.lower(), int(unseen[parts.of(part).items].sum())) for part in (Part.VALIDATION, Part.TEST)]
    events = dict(later)
    removed = unknown if type(unknown) is int else None
    told = "an unknown number of" if removed is None else f"{removed:,}"
    return Finding(
        "items that exist only later",
        "how many later events are of items that train does not hold",
        "share" if removed or any(events.values()) else "clean",
        f"{events['validation']:,} validation and {events['test']:,} test events; {told} test events were removed"
        " because neither train nor validation holds their item",
        {**events, "removed_from_test": removed},
    )
