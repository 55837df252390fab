"""Figures 3 and 4: the paper's model under different cuts of the global graph."""

from __future__ import annotations

from collections.abc import Sequence

from segue.paper.order import standing
from segue.paper.plan import Plan
from segue.paper.rows import any_result, hg_gnn, measured
from segue.paper.sheet import Sheet
from segue.settings import GraphSettings

SAMPLE_SIZES = (4, 8, 12, 16, 20)
TOP_K_SIMILAR = (5, 10, 20, 30, 40)
"""Values of S and K around the defaults, 12 and 20; the quick form takes every other one."""
_SHOWN = ("HR@10", "MRR@10")


def sampling_size(plan: Plan) -> Sheet:
    """Figure 3: effect of S, the number of sampled edges per item and direction."""
    title = "Figure 3: effect of the sampling size S"
    return _sweep(plan, "figure3", title, ("S", "sample_size"), SAMPLE_SIZES)


def top_k_similar(plan: Plan) -> Sheet:
    """Figure 4: effect of K, the number of similar items linked to each item."""
    title = "Figure 4: effect of the top-K similar items"
    return _sweep(plan, "figure4", title, ("K", "top_k_similar"), TOP_K_SIMILAR)


def _sweep(plan: Plan, name: str, title: str, swept: tuple[str, str], values: Sequence[int]) -> Sheet:
    from segue.report import charts

    letter, setting = swept
    values = values[::2] if plan.quick else values
    rows = measured(plan, {f"{letter} = {value}": [hg_gnn(graph={setting: value})] for value in values})
    points = {
        metric: [
            (value, 100 * mean)
            for value, row in zip(values, rows.values(), strict=True)
            if (mean := row.value(metric)) is not None
        ]
        for metric in _SHOWN
    }
    default = getattr(GraphSettings(), setting)
    full = f"{letter} = {default}"
    order = standing(plan, full, rows[full])
    caption = (
        *plan.protocol_caption(any_result(rows), f"preset paper, graph.{setting} varied, all else equal"),
        *order.caption,
        "Shown is test, as in the paper; a value to use is chosen by the validation metrics in the JSON."
        " The paper prints no numbers with this figure.",
    )
    return Sheet(
        name,
        title,
        caption,
        (order.table(rows, f"graph.{setting}"),),
        {"rows": {label: row.as_dict() for label, row in rows.items()}, "order": order.facts()},
        {f"{metric}, %, by {letter}": charts.value_line(points[metric], letter) for metric in _SHOWN if order.passed},
    )
