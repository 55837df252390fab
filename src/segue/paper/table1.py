"""Table 1: statistics of the data."""

from __future__ import annotations

from segue.data.corpus import load
from segue.data.stats import table1
from segue.paper.plan import Plan
from segue.paper.printed_numbers import STATISTICS
from segue.paper.sheet import Sheet, with_theirs
from segue.report.table import Cell, Table


def statistics(plan: Plan) -> Sheet:
    """Table 1 for the corpus; the paper's train sessions are train and validation here."""
    values = table1(load(plan.corpus))
    rows = {
        label: [Cell(f"{value:,.2f}" if isinstance(value, float) else f"{value:,}")] for label, value in values.items()
    }
    tables = with_theirs(Table(("statistic", plan.given.name), rows), STATISTICS, ("",), plan.source)
    caption = (*plan.data_caption(), "Train sessions include validation, as in the paper. Nothing is trained.")
    return Sheet("table1", "Table 1: statistics of the data", caption, tables, {"statistics": values})
