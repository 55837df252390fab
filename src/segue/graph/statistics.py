"""Figures of the graph: printed by the command line, kept in the artifact, plotted in the report."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from segue.graph.tables import ITEM, USER, EdgeTables


def graph_statistics(tables: EdgeTables) -> dict[str, Any]:
    """Nodes, edges and degrees, ready for JSON.

    Keys: ``nodes`` {type: count, known users only}; ``relations`` {name: {source, destination, edges, degree,
    without}} where degree holds the mean and quantiles of the neighbours a destination node listens to and ``without``
    counts the nodes that hear nobody; ``isolated_items``, ``isolated_users``: nodes without any edge in or out;
    ``transitions``: distinct transitions before the top-S cut; ``cooccurring_pairs``: unordered item pairs that share
    a session.
    """
    nodes = {**tables.n_nodes, USER: tables.n_nodes[USER] - 1}
    relations = {}
    for relation in tables.relations:
        lengths = tables.edges[relation.name].lengths[: nodes[relation.destination]]
        relations[relation.name] = {
            "source": relation.source,
            "destination": relation.destination,
            "edges": int(lengths.sum()),
            "degree": _quantiles(lengths),
            "without": int((lengths == 0).sum()),
        }
    return {
        "nodes": nodes,
        "relations": relations,
        "isolated_items": _isolated(tables, ITEM, nodes[ITEM]),
        "isolated_users": _isolated(tables, USER, nodes[USER]),
        "transitions": len(tables.transitions.ids),
        "cooccurring_pairs": int(tables.cooccurrence.degree.sum()) // 2,
    }


def _quantiles(lengths: npt.NDArray[np.int64]) -> dict[str, float]:
    if len(lengths) == 0:
        return {}
    shares = {"min": 0.0, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}
    values = np.quantile(lengths, list(shares.values()), method="lower")
    return {"mean": float(lengths.mean()), **dict(zip(shares, values.tolist(), strict=True))}


def _isolated(tables: EdgeTables, node_type: str, n_nodes: int) -> int:
    touched = np.zeros(tables.n_nodes[node_type], dtype=bool)
    for relation in tables.relations:
        edges = tables.edges[relation.name]
        if relation.destination == node_type:
            touched |= edges.lengths > 0
        if relation.source == node_type:
            touched[edges.ids] = True
    return int((~touched[:n_nodes]).sum())
