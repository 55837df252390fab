"""The paper's tables and figures by name, and all of them on one page."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from segue.errors import UserMistake
from segue.paper import figure5 as cases
from segue.paper import figures3_4 as sweeps
from segue.paper import table1 as data
from segue.paper import table2 as comparison
from segue.paper import table3 as timing
from segue.paper import tables4_5 as ablations
from segue.paper.plan import Plan
from segue.paper.sheet import Sheet, html_page
from segue.system.atomic import write_text, writing
from segue.version import __version__

logger = logging.getLogger("segue")

Builder = Callable[[Plan], Sheet]

SHEETS: dict[str, Builder] = {
    "table1": data.statistics,
    "table2": comparison.comparison,
    "table3": timing.runtime,
    "table4": ablations.layers,
    "table5": ablations.graph,
    "figure3": sweeps.sampling_size,
    "figure4": sweeps.top_k_similar,
    "figure5": cases.case_study,
}
PAGE = "index.html"


def everything(plan: Plan, builders: dict[str, Builder] = SHEETS) -> list[Sheet]:
    """Build every table and figure, each written when it is ready, then one page of all; failures are named on it.

    Raises UserMistake when none succeeds.
    """
    sheets, failures = [], []
    for name, build in builders.items():
        logger.info("%s", name)
        try:
            sheet = build(plan)
        except UserMistake as error:
            logger.warning("%s: %s", name, error)
            failures.append(f"{name} could not be made: {error}")
            continue
        sheet.write(plan.out)
        sheets.append(sheet)
    if not sheets:
        raise UserMistake(f"no table or figure could be made; {failures[0]}")
    _write_page(plan.out / PAGE, plan, sheets, failures)
    return sheets


def _write_page(path: Path, plan: Plan, sheets: list[Sheet], failures: list[str]) -> None:
    notes = [
        "The tables and figures of Heterogeneous Global Graph Neural Networks for Personalized Session-based"
        " Recommendation (arXiv 2107.03813), computed anew. Numbers in italics are the paper's own.",
        f"segue {__version__}; corpus {plan.given}{', quick form' if plan.quick else ''}.",
        *failures,
    ]
    with writing(path.parent):
        write_text(path, html_page("The tables and figures of HG-GNN", notes, sheets))
