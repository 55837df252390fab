"""Sessions and events that stand on both sides of the cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from segue.audit.finding import Finding
from segue.audit.parts import Parts, owners
from segue.audit.times import share
from segue.data.corpus import Part, Sessions

Hashes = npt.NDArray[np.uint64]


def copied(parts: Parts) -> list[Finding]:
    """Duplicates across the cut: of whole sessions, of single events, and of what is in a session."""
    return [
        _sessions(parts),
        _events(parts),
        _contents(parts),
    ]


def _sessions(parts: Parts) -> Finding:
    number = {
        part.name.lower(): int(np.isin(_of(parts.of(part), True), _of(parts.train, True)).sum())
        for part in (Part.VALIDATION, Part.TEST)
    }
    total = sum(number.values())
    return Finding(
        "sessions copied across the cut",
        "whether a later session, with its user, items and times, also stands in train",
        "leak" if total else "clean",
        f"{number['validation']:,} validation and {number['test']:,} test sessions stand in train too"
        if total
        else "no session stands on both sides",
        number,
    )


def _events(parts: Parts) -> Finding:
    """Events of one user, item and time on both sides. Where times are only dates that need not be one event."""
    train = np.unique(_event_hashes(parts.train))
    number = {
        part.name.lower(): int(np.isin(_event_hashes(parts.of(part)), train).sum())
        for part in (Part.VALIDATION, Part.TEST)
    }
    total, dates = sum(number.values()), bool(parts.manifest.get("log", {}).get("dates_only"))
    remark = "; the log has dates alone, so that these may be purchases of one day" if dates and total else ""
    return Finding(
        "events copied across the cut",
        "whether a later event, with its user, item and time, also stands in train",
        ("share" if dates else "leak") if total else "clean",
        f"{number['validation']:,} validation and {number['test']:,} test events stand in train too{remark}"
        if total
        else "no event stands on both sides",
        number,
    )


def _contents(parts: Parts) -> Finding:
    """Habits look like this too, so it is a figure and no leak."""
    test = parts.of(Part.TEST)
    number = int(np.isin(_of(test, False), _of(parts.train, False)).sum())
    return Finding(
        "sessions repeated later",
        "how many test sessions hold the items of a train session of the same user, in the same order",
        "share" if number else "clean",
        f"{number:,} of {len(test):,} test sessions ({share(number, len(test))}), at other times",
        {"sessions": number, "of": len(test)},
    )


def _of(sessions: Sessions, with_times: bool) -> Hashes:
    """A number for each session's user, items in their order and, where asked for, times; equal sessions have equal
    numbers, and two others equal ones with a chance of 2^-64."""
    if not len(sessions):
        return np.zeros(0, dtype=np.uint64)
    place = np.arange(len(sessions.items)) - np.repeat(sessions.offsets[:-1], sessions.lengths)
    mixed = _mix(place, owners(sessions), sessions.items, *([sessions.times] if with_times else []))
    return np.add.reduceat(mixed, sessions.offsets[:-1], dtype=np.uint64)


def _event_hashes(sessions: Sessions) -> Hashes:
    return _mix(owners(sessions), sessions.items, sessions.times)


def _mix(*columns: npt.NDArray[Any]) -> Hashes:
    """One number for each row of some columns, by the steps of SplitMix64 (Steele et al. 2014)."""
    found = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        found = (found ^ column.astype(np.int64).view(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found = found ^ (found >> np.uint64(31))
    return found


def common(some: Sessions, others: Sessions) -> int:
    """How many of `others` are, with user, items and times, among `some`."""
    return int(np.isin(_of(others, True), _of(some, True)).sum())
