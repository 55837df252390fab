"""The origin of a stored table: the parts of the corpus that it was made from, and its newest event."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

from segue.data.corpus import Part

MADE_FROM = "made_from"
"""Key of a corpus's manifest, and of a model's ``config.json``: file → the origin of what is in it. Folders from
before it have none."""
PARTS_OF_FILES: Mapping[str, tuple[Part, ...]] = {
    "items.parquet": (Part.TRAIN, Part.VALIDATION),
    # Who only occurs in test has a row behind the known users, so that the test sessions have an owner.
    "users.parquet": (Part.TRAIN, Part.VALIDATION, Part.TEST),
    **{part.file: (part,) for part in Part},
}
"""File of a corpus → the parts whose events decide what is in it."""


@dataclass(frozen=True)
class Origin:
    """The parts that a table was made from, in their order, and the time of their newest event.

    newest_event: epoch milliseconds; None where the parts hold no event.
    """

    parts: tuple[str, ...]
    newest_event: int | None

    @classmethod
    def of(cls, parts: Collection[Part], newest: Mapping[Part, int | None]) -> Self:
        """The origin of a table made from `parts`, where `newest` has the newest event of each part."""
        times = [time for part in parts if (time := newest.get(part)) is not None]
        return cls(tuple(part.name.lower() for part in sorted(parts)), max(times, default=None))

    @classmethod
    def parse(cls, found: Any) -> Self:
        """The origin in a file of Segue. Raises ValueError for anything else."""
        try:
            parts, newest = found["parts"], found["newest_event"]
        except (KeyError, TypeError):
            raise ValueError(f"{MADE_FROM} holds no parts and newest event: {found!r:.60}") from None
        known = {part.name.lower() for part in Part}
        if not isinstance(parts, list) or not all(isinstance(part, str) and part in known for part in parts):
            raise ValueError(f"{MADE_FROM} names parts that there are not: {parts!r:.60}")
        if newest is not None and type(newest) is not int:
            raise ValueError(f"{MADE_FROM} holds no time: {newest!r:.60}")
        return cls(tuple(parts), newest)

    def as_dict(self) -> dict[str, Any]:
        """The origin as it stands in JSON."""
        return {"parts": list(self.parts), "newest_event": self.newest_event}
