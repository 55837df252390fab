"""Small sessions, their tables, and eq. (4)-(8) written out once for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from segue.data.arrays import offsets_of
from segue.data.corpus import Sessions
from segue.graph.hetero import Field, HeteroGraph, take
from segue.graph.propagation import neighbour_mean
from segue.graph.relations import build_relations
from segue.graph.tables import EdgeTables
from segue.settings import GraphSettings, PreparationSettings

PREPARATION = PreparationSettings(memory_limit="512MiB")


def sessions_of(items: Sequence[Sequence[int]], users: Sequence[int]) -> Sessions:
    """Sessions from lists."""
    flat = np.array([item for session in items for item in session], dtype=np.int32)
    offsets = offsets_of(np.array([len(session) for session in items], dtype=np.int64))
    number = np.arange(len(items), dtype=np.int64)
    return Sessions(flat, np.arange(len(flat), dtype=np.int64), offsets, np.array(users, np.int32), number)


def tables_of(log: Sequence[Sequence[int]], who: Sequence[int], n_items: int, n_users: int, **options) -> EdgeTables:
    """Edge tables of lists of sessions; `options` are keys of GraphSettings or arguments of build_relations."""
    settings = GraphSettings(**{key: options.pop(key) for key in list(options) if key in GraphSettings.model_fields})
    return build_relations(sessions_of(log, who), n_items, n_users, settings, preparation=PREPARATION, **options)


def random_sessions(seed: int, n_sessions: int, n_items: int, n_users: int) -> tuple[list[list[int]], list[int]]:
    """Skewed random sessions of length 1 to 8, with repeats."""
    random = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, n_items + 1)
    popularity /= popularity.sum()
    items = [random.choice(n_items, random.integers(1, 9), p=popularity).tolist() for _ in range(n_sessions)]
    return items, random.integers(0, n_users, n_sessions).tolist()


def propagate(graph: HeteroGraph, field: Field, embeddings: dict[str, Tensor], weights: dict[str, Tensor]) -> dict:
    """Eq. (4)-(8) on a field. Weights: "RELATION layer" → [dim, 2 dim]."""
    table = {t: take(embeddings[t], rows) for t, rows in field.nodes.items()}
    total = dict(table)
    for number, layer in enumerate(field.layers):
        own = {t: take(table[t], layer.rows[t]) for t in table}
        messages: dict[str, list[Tensor]] = {t: [] for t in table}
        for relation in graph.relations:
            mean = neighbour_mean(table[relation.source], layer.csr[relation.name])
            both = torch.cat([mean, own[relation.destination]], dim=1)
            messages[relation.destination].append(torch.relu(both @ weights[f"{relation.name} {number}"].T))
        table = {t: torch.stack(m).mean(0) for t, m in messages.items()}
        total = {t: take(total[t], layer.rows[t]) + table[t] for t in table}
    return {t: rows / (len(field.layers) + 1) for t, rows in total.items()}


@cache
def random_tables() -> EdgeTables:
    """40 items, 7 known users and unknown ones, one attribute on either side."""
    items, users = random_sessions(seed=3, n_sessions=60, n_items=40, n_users=9)
    return tables_of(
        items, users, 40, 7,
        sample_size=3, top_k_similar=4, attributes=("item.kind", "user.town"),
        items=pa.table({"item_id": [str(i) for i in range(40)], "kind": [f"k{i % 5}" for i in range(40)]}),
        users=pa.table({"user_id": list("abcdefg"), "town": ["x", "y", None, "x", "z", "y", "x"]}),
    )  # fmt: skip
