"""Numbered files of a folder: whether one of them is missing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

_NUMBER = re.compile(r"\d{4}[-_.]\d{2}(?:[-_.]\d{2})?|\d+")
"""A number, or a date, which is passed over: days without clicks have no file."""
_TOTAL = re.compile(r"(?<=-of-)\d{1,6}(?!\d)")
_LONGEST = 6
"""Digits; a longer number is a date or an id."""
_FEWEST, _NAMED = 3, 3
"""Fewer files than that are no row of numbers; at most so many missing ones are named."""


def gap_notes(folder: Path, files: Sequence[Path]) -> list[str]:
    """A note for each row of files, alike but for one number and counted from 0 or 1, in which numbers are missing.

    A name such as ``part-00003-of-00010`` says how many there are; of others the last one is taken for the last. Where
    names differ in more than one number, each file is a row of its own, and nothing is known.
    """
    rows: dict[tuple[Path, str, str], dict[int, Path]] = defaultdict(dict)
    for file in files:
        for found in _NUMBER.finditer(file.name):
            if found[0].isdigit() and len(found[0]) <= _LONGEST:
                alike = (file.parent, file.name[: found.start()], file.name[found.end() :])
                rows[alike][int(found[0])] = file
    notes = []
    for (_, _, after), row in rows.items():
        first, last = min(row), max(row)
        total = _TOTAL.search(after)
        end = last if total is None else max(last, first + int(total[0]) - 1)
        missing = [number for number in range(first, end + 1) if number not in row] if first in (0, 1) else []
        if missing and (total is not None or len(row) >= _FEWEST):
            notes.append(_note(folder, row[first], missing, end))
    return notes


def _note(folder: Path, example: Path, missing: Sequence[int], end: int) -> str:
    named = ", ".join(map(str, missing[:_NAMED])) + (" and others" if len(missing) > _NAMED else "")
    return (
        f"missing of the numbered files as {example.relative_to(folder)} to number {end}: {len(missing):,} ({named}); a"
        " writer may leave out empty files, else find them"
    )


def unfinished_notes(folder: Path) -> list[str]:
    """A note where Hadoop or Spark has not finished writing the folder: its own ``_temporary`` is still there."""
    if not (folder / "_temporary").exists():
        return []
    return [f"{folder} holds _temporary: what writes it has not finished, or has failed; wait, or have it written anew"]
