"""Several models on one corpus: treated alike, measured on identical events, one table."""

from segue.compare.contest import Plan, Told, check_shared, contest, entrants, standing
from segue.compare.page import write_page
from segue.compare.runs import COUNTING, NETWORKS, compare, curves
from segue.compare.table import markdown

__all__ = [
    "COUNTING",
    "NETWORKS",
    "Plan",
    "Told",
    "check_shared",
    "compare",
    "contest",
    "curves",
    "entrants",
    "markdown",
    "standing",
    "write_page",
]
