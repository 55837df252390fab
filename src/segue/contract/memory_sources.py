"""The sources of the memory by name: what each says, of whose habits, and how its values are scaled.

Training recalls them with torch (:mod:`segue.models.hg_gnn.memory.sources`, where the equations stand), answers with
NumPy (:mod:`segue.lean.hg_gnn.recall`); both read this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from segue.graph.tables import SHRINKAGE, UNIT

MemorySource = Literal[
    "session", "history", "recent_history", "last_session", "own_sessions", "transition", "predecessor", "order",
    "order_before", "companion", "basket", "two_steps", "recent", "trend",
]  # fmt: skip
SOURCES: tuple[MemorySource, ...] = get_args(MemorySource)
PAIR_TABLES = ("transition", "predecessor", "order", "basket")
"""Stored counts of pairs of items."""
PERIOD_TABLES = ("recent", "trend")
"""Stored counts by period."""
FACTS = 8
"""Number of facts x about an event."""
FARTHEST_FACT = 3.0
"""Largest standardised fact: a request years after train must not be judged by how weights would go on in a line."""
BASKET_ENTRIES = 800
"""Most companions looked up for a prefix, shared out among its items."""
STEPS = (10, 40)
"""Companions of a prefix from which a second step is taken, shared out among its last items; and companions of each."""
OWN_SESSIONS = 60
"""The user's last sessions that are compared with the running one."""


@dataclass(frozen=True)
class Source:
    """What is known of a source beside its equation.

    Attributes:
        words: what it says of an item that it recommends; "{item}" is the item of the session it comes from.
        scale: c in log(1 + c f(i)): about 1 / f where f is just worth believing.
        speaks_for: whose habits it tells, for explanations: the prefix's items, the user, everybody.
        sums: whether an item can be suggested to an event more than once; then the values add up.
        dear: whether it costs so much that it has to recall what no other source recalls, see `model.dear_share`.
    """

    words: str
    scale: float = 1.0
    speaks_for: Literal["session", "user", "everybody"] = "session"
    sums: bool = False
    dear: bool = False


TABLE: Mapping[MemorySource, Source] = {
    "session": Source("is among the last items taken", sums=True),
    "history": Source("from this user's earlier sessions", speaks_for="user"),
    "recent_history": Source("what this user has taken lately", speaks_for="user"),
    "last_session": Source("was in this user's last session", speaks_for="user"),
    "own_sessions": Source("this user has taken it in sessions like this one", speaks_for="user", sums=True),
    "transition": Source("often comes right after {item}"),
    "predecessor": Source("often comes right before {item}"),
    "order": Source("often comes soon after {item}", scale=1 / UNIT),
    "order_before": Source("often comes soon after {item}", scale=1 / UNIT),
    "companion": Source("often shares sessions with {item}", scale=SHRINKAGE),
    "basket": Source("others who took these items also took it", scale=SHRINKAGE, sums=True),
    "two_steps": Source("goes with what others took with {item}", scale=100, sums=True, dear=True),
    "recent": Source("many took it most recently", speaks_for="everybody"),
    "trend": Source("many have taken it lately", speaks_for="everybody"),
}
WORDS = {prefix + name: source.words for name, source in TABLE.items() for prefix in ("", "pointer_")}
"""What the terms of a score say, by their names: added values and shares of the pointer."""
