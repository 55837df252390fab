"""What forgetting did: figures, the checks that prove it, and what it cannot take out. No id is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from segue.errors import SegueError
from segue.forgetting.lists import ListsCompared
from segue.version import __version__

FORMAT = "segue-forget-1"


class NotForgotten(SegueError):
    """The proof failed: something of the people is left, or something of others is gone. No model was written. The
    message is one line."""


@dataclass(frozen=True)
class Check:
    """One thing that was tried.

    Attributes:
        name: the same in every proof. holds: whether it is as it must be.
        found: what was seen, a sentence without ids. numbers: the figures in it.
    """

    name: str
    holds: bool
    found: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


def refuse_unproved(checks: Sequence[Check]) -> None:
    """Raise NotForgotten unless all checks hold."""
    failed = [f"{check.name}: {check.found}" for check in checks if not check.holds]
    if failed:
        raise NotForgotten(
            f"no model was written, for it is not proved that they are forgotten: {'; '.join(failed)};"
            " docs/guide/forgetting.md says what to do"
        )


@dataclass(frozen=True)
class Forgotten:
    """What was done, and the proof.

    Attributes:
        people, sessions, events: how many are gone. items: those that nobody else had.
        test_events, test_sessions: of others, that went with these items.
        live_events: that are gone; None where no live events were named.
        retrained: whether everything was trained anew. weights_stay: whether weights are kept that were learned while
            they took part.
        checks: the proof. lists: of other people.
        left_out: files of the model, and keys of its ``config.json``, that the new one does not have.
    """

    people: int
    sessions: int
    events: int
    items: int
    test_events: int
    test_sessions: int
    live_events: int | None
    retrained: bool
    weights_stay: bool
    checks: Sequence[Check]
    lists: ListsCompared
    left_out: Sequence[str]

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape; keys are only ever added under one format."""
        words = {"lists_in_words": self.lists.words, "stays": list(self.stays)}
        return {"format": FORMAT, "segue": __version__, **asdict(self), **words}

    @property
    def stays(self) -> tuple[str, ...]:
        """What was not, or cannot be, taken out: a sentence each."""
        weights = (
            "Weights that were learned while they took part, such as the vectors of items, are as they were; --retrain"
            " learns them anew."
        )
        live = "Live events of a server were not named (--state, --store) and are as they were."
        others = "The old model, its corpus, the log, exports, stored lists, logs and backups are as they were."
        said = ((weights, self.weights_stay), (live, self.live_events is None), (others, True))
        return tuple(sentence for sentence, holds in said if holds)

    @property
    def words(self) -> tuple[str, ...]:
        """The result: a line each."""
        went = (
            f" With them went {self.items:,} items that nobody else has in train or validation,"
            f" {self.test_events:,} events of these and {self.test_sessions:,} test sessions of others."
            if self.items
            else ""
        )
        live = "" if self.live_events is None else f", {self.live_events:,} live events"
        first = f"gone: people {self.people:,}, sessions {self.sessions:,}, events {self.events:,}{live}.{went}"
        proved = [f"proved: {check.name}: {check.found}" for check in self.checks]
        dropped = [f"left out: {', '.join(self.left_out)}"] if self.left_out else []
        return (first, *proved, f"lists of others: {self.lists.words}", *dropped, *(f"not: {s}" for s in self.stays))
