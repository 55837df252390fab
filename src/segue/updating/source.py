"""What a corpus grows by, and what was read of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Read:
    """What the new log held; every row of it is in one of the first four counts.

    Attributes:
        rows: rows of the log. invalid: left out as unreadable. duplicates: events that the corpus has already.
        left_out: new events that the filters, the length cap or the split left out. added: events that came.
        lost: events of the corpus that are gone, since a session has become too long.
        late: new events from before the newest event of the corpus. backwards: from before the newest event of their
            own user. items, users: new ones in the vocabulary.
    """

    rows: int
    invalid: int
    duplicates: int
    left_out: int
    added: int
    lost: int
    late: int
    backwards: int
    items: int
    users: int

    def as_dict(self) -> dict[str, int]:
        """The JSON shape."""
        return asdict(self)


@dataclass(frozen=True)
class Source:
    """What a corpus grows by.

    Attributes:
        log: what ``prepare`` takes. items, users: files of attributes, or None.
        newest: the time before the newest event, in ms, whose sessions become test; None: the newest third of the
            sessions that are new, see :func:`segue.updating.division.divide`. drop_invalid: leave out rows without an
            id or time.
    """

    log: Any
    items: Any = None
    users: Any = None
    newest: int | None = None
    drop_invalid: bool = False
