"""Several models on one corpus: treated alike, measured on identical events, one table."""

from segue.compare.comparison import ComparisonPlan, compare, named_models, standing
from segue.compare.entrant import Callbacks
from segue.compare.page import write_page
from segue.compare.summary import Summary
from segue.compare.table import markdown

__all__ = [
    "Callbacks",
    "ComparisonPlan",
    "Summary",
    "compare",
    "markdown",
    "named_models",
    "standing",
    "write_page",
]
