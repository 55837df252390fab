"""The sources of the memory by name: what each says, of whose habits, and how its values are scaled.

The definitions, and the equations, are those of :mod:`segue.models.hg_gnn.memory.sources`; a test holds the two
tables together. Here no running session was counted, so nothing has to be taken out of a count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from segue.graph.tables import SHRINKAGE

MemorySource = Literal[
    "session", "history", "recent_history", "last_session", "own_sessions", "transition", "predecessor", "order",
    "order_before", "companion", "basket", "recent", "trend",
]  # fmt: skip
SOURCES: tuple[MemorySource, ...] = get_args(MemorySource)
FACTS = 8
"""Number of facts x about a request."""
BASKET_ENTRIES = 800
"""Most companions looked up for a prefix, shared out among its items."""
OWN_SESSIONS = 60
"""The user's last sessions that are compared with the running one."""
UNIT = 2520
"""What distance 1 counts in the order of items."""


@dataclass(frozen=True)
class Source:
    """A source of the memory.

    Attributes:
        words: what it says of an item that it recommends; "{item}" is the item of the session it comes from.
        scale: c in log(1 + c f(i)).
        speaks_for: whose habits it tells: the prefix's items, the user, everybody.
    """

    words: str
    scale: float = 1.0
    speaks_for: Literal["session", "user", "everybody"] = "session"


TABLE: Mapping[MemorySource, Source] = {
    "session": Source("is among the last items taken"),
    "history": Source("from this user's earlier sessions", speaks_for="user"),
    "recent_history": Source("what this user has taken lately", speaks_for="user"),
    "last_session": Source("was in this user's last session", speaks_for="user"),
    "own_sessions": Source("this user has taken it in sessions like this one", speaks_for="user"),
    "transition": Source("often comes right after {item}"),
    "predecessor": Source("often comes right before {item}"),
    "order": Source("often comes soon after {item}", scale=1 / UNIT),
    "order_before": Source("often comes soon after {item}", scale=1 / UNIT),
    "companion": Source("often shares sessions with {item}", scale=SHRINKAGE),
    "basket": Source("others who took these items also took it", scale=SHRINKAGE),
    "recent": Source("many took it most recently", speaks_for="everybody"),
    "trend": Source("many have taken it lately", speaks_for="everybody"),
}
WORDS = {prefix + name: source.words for name, source in TABLE.items() for prefix in ("", "pointer_")}
