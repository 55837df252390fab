"""Tables 4 and 5: the paper's model without one of its parts, and without one kind of node or edge."""

from __future__ import annotations

from collections.abc import Mapping

from segue.paper.order import standing
from segue.paper.plan import Plan
from segue.paper.printed_numbers import GRAPH, LAYERS, METRICS, Numbers
from segue.paper.rows import any_result, hg_gnn, measured
from segue.paper.sheet import Sheet, with_theirs
from segue.settings import GraphSettings, Nested


def _without(relation: str) -> Nested:
    left = [name for name in GraphSettings().relations if name != relation]
    return hg_gnn(graph={"relations": left})


_FULL = "HG-GNN"
_LAYERS: dict[str, Nested] = {
    "w/o HGNN": hg_gnn(model={"layers": 0}),
    "w/o CPL": hg_gnn(model={"current_preference": False}),
    "w/o GPL": hg_gnn(model={"general_preference": False}),
    _FULL: hg_gnn(),
}
_GRAPH: dict[str, Nested] = {
    "w/o user nodes": hg_gnn(model={"user_nodes": False}),
    "w/o in edges": _without("adjacent_in"),
    "w/o out edges": _without("adjacent_out"),
    "w/o similar edges": _without("similar"),
    _FULL: hg_gnn(),
}


def layers(plan: Plan) -> Sheet:
    """Table 4: HG-GNN without the graph network, without current (CPL), without general preference learning (GPL)."""
    return _ablation(plan, "table4", "Table 4: HG-GNN without one of its parts", _LAYERS, LAYERS)


def graph(plan: Plan) -> Sheet:
    """Table 5: HG-GNN without user nodes, and without in, out or similar edges."""
    return _ablation(plan, "table5", "Table 5: HG-GNN on a graph without one kind of node or edge", _GRAPH, GRAPH)


def _ablation(plan: Plan, name: str, title: str, variants: Mapping[str, Nested], theirs: Numbers) -> Sheet:
    rows = measured(plan, {label: [own] for label, own in variants.items()})
    how = "preset paper, one switch each, not tuned again"
    order = standing(plan, _FULL, rows[_FULL])
    return Sheet(
        name,
        title,
        (*plan.protocol_caption(any_result(rows), how), *order.caption),
        with_theirs(order.table(rows, "setting"), theirs, METRICS, plan.source),
        {"rows": {label: row.as_dict() for label, row in rows.items()}, "order": order.facts()},
    )
