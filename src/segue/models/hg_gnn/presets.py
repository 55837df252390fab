"""Presets of HG-GNN (two to use, one for the authors' published code, four controls) and the ranges of a search."""

from __future__ import annotations

from collections.abc import Mapping

from segue.contract.memory_sources import SOURCES, MemorySource
from segue.contract.model import Overrides
from segue.contract.paper_schedule import PAPER_SCHEDULE
from segue.settings.search_space import Between, Choice, Space

POINTED: tuple[MemorySource, ...] = (
    "session", "recent_history", "own_sessions", "transition", "order", "basket", "two_steps", "recent",
)  # fmt: skip
"""Sources that point in preset `segue`."""
_EVERY_THIRD = {"learning_rate": 1e-3, "decay": 0.1, **PAPER_SCHEDULE}
_FALLING = {"schedule": "step", "decay": 0.3, "decay_every": 1, "patience": 2, "pass_steps": 100}
"""Few passes at a rate that falls: counts need few events to be weighed, and vectors soon learn train by heart."""
_WITH_VECTORS = {**_FALLING, "learning_rate": 3e-3, "max_epochs": 5}
_COUNTS_ALONE = {
    **_FALLING, "learning_rate": 4e-3, "max_epochs": 3, "pass_events": 60_000, "validation_events": 20_000,
}  # fmt: skip
_SEGUE = {"user_term": True, "popularity": True, "memory": SOURCES, "pointer": POINTED}

SEGUE: Overrides = {"model": _SEGUE, "training": _WITH_VECTORS}
"""The paper's model with a user term, popularity and a memory of counts."""

PAPER: Overrides = {"model": {}, "training": _EVERY_THIRD}
"""The paper's model, under the readings of docs/paper-map.md; its schedule counts steps (docs/decisions/0016)."""

AUTHORS_CODE: Overrides = {
    "model": {
        "window": {"length": 10, "history": 1000},
        "dim": 128,
        "layers": 1,
        "dropout": 0.5,
        "homogeneous": True,
        "multiplicity": True,
        "hidden": "tanh",
        "attention": "raw",
        "gate": "scalar",
        "add_user": True,
        "user_classes": True,
    },
    "graph": {"sample_size": 10**9, "relations": ("adjacent_in", "adjacent_out", "interact", "interacted_by")},
    "training": {**_EVERY_THIRD, "batch_events": 512, "weight_decay": 1e-5, "max_epochs": 20, "patience": 15},
}
"""The model of the authors' published code (github.com/0215Arthur/HG-GNN), where it differs from the paper.

One homogeneous graph of items and users, every transition and every event an edge in both directions, as often as it
happened, and a self loop at every node; one mean convolution for all of it. In its graph the sampled transitions come
*beside* all the others, so sampling removes nothing: here nothing is cut. Item similarity is computed there and
switched off; here the relation is left out.

Not copied:
- the sampled predecessors as second copies of edges that are there already (at most S more per item and direction);
- immediate repeats as further self loops: no relation has an edge (v, v);
- users as candidates: they are classes of the softmax in training, and take no place in a list of recommendations;
- the choice of the epoch on test sessions: it is made on validation;
- sessions cut to their *first* 20 clicks and split by time: the corpus decides that (`sessions.keep`,
  `split.protocol`).

Added: `mask_users` (1 %) teaches a row for unknown users, whom that code cannot serve.
"""

_NO_HGNN = {"layers": 0, "dropout": 0.2}
# Without layers dropout is on P⁰ itself; with one it is on half of eq. (8). As noise on P⁰, of variance p / (1 - p),
# 0.2 on the whole is what 0.5 is on a half: 0.25 = 0.5² · 1.

NO_GRAPH: Overrides = {"model": {**_NO_HGNN, "add_user": True}, "training": _EVERY_THIRD}
"""Control: does the graph bring more than a plain user vector that is added to the session vector?"""

NO_USERS: Overrides = {"model": {"user_nodes": False}, "training": _EVERY_THIRD}
"""Control: does the paper's model gain anything from knowing the user?"""

SEGUE_NO_GRAPH: Overrides = {"model": {**_SEGUE, **_NO_HGNN}, "training": _WITH_VECTORS}
"""Control: does the graph bring anything to a model that holds the counts already?"""

MEMORY: Overrides = {
    "model": {"embeddings": False, "popularity": True, "memory": SOURCES, "pointer": POINTED},
    "training": _COUNTS_ALONE,
}
"""Control: does any embedding, session encoder or graph bring more than the same counts weighted by eight facts?"""

PRESETS: dict[str, Overrides] = {
    "segue": SEGUE,
    "paper": PAPER,
    "authors-code": AUTHORS_CODE,
    "no-graph": NO_GRAPH,
    "no-users": NO_USERS,
    "segue-no-graph": SEGUE_NO_GRAPH,
    "memory": MEMORY,
}

_TRAINING: Space = {"training.learning_rate": Between(1e-4, 1e-2, log=True)}
_REGULARISED: Space = {"training.weight_decay": Between(1e-7, 1e-3, log=True)}
_SIZED: Space = {**_TRAINING, **_REGULARISED, "model.dim": Choice((32, 64, 96, 128, 256))}
_DROPPED: Space = {**_SIZED, "model.dropout": Between(0.0, 0.8)}
_LAYERED: Space = {**_DROPPED, "model.layers": Choice((1, 2, 3, 4))}

SPACE: Space = {
    **_LAYERED,
    "graph.sample_size": Choice((4, 8, 12, 16, 20)),
    "graph.top_k_similar": Choice((5, 10, 20, 40)),
}
"""Ranges: the paper's grid of sizes and layers, and regularisation. Without any layer it is preset `no-graph`."""

SPACES: Mapping[str, Space] = {
    "authors-code": _DROPPED,
    "no-graph": _DROPPED,
    "segue-no-graph": _DROPPED,
    "memory": {**_TRAINING, **_REGULARISED},
}
"""Ranges of presets that vary less than `SPACE`: options that define the preset, or have no effect in it, are fixed."""
