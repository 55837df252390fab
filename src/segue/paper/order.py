"""The right to print an order: variants of a model that has not passed popularity differ by noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from segue.compare import named_models
from segue.evaluation.significance import Difference, differences
from segue.paper.plan import Plan
from segue.paper.printed_numbers import METRICS
from segue.paper.rows import Row, Rows, measured, metric_table
from segue.report.numbers import points
from segue.report.table import Table
from segue.training.validation import SELECTED_BY

POPULARITY = "popularity"
"""Label of the row that ranks by the support of an item, whoever asks."""


@dataclass(frozen=True)
class Standing:
    """The full model of a table beside popularity.

    Attributes:
        label: of the full model. full, popularity: the rows.
        difference: full model minus popularity in HR@10; None where one of them was not measured.
    """

    label: str
    full: Row
    popularity: Row
    difference: Difference | None

    @property
    def passed(self) -> bool:
        """Whether both tests over users put the full model above popularity; True where one was not measured."""
        return self.difference is None or (self.difference.significant and self.difference.by_user > 0)

    @property
    def caption(self) -> list[str]:
        """One sentence where no order may be printed; nothing otherwise."""
        if self.passed or self.difference is None:
            return []
        low, high = self.difference.by_user_interval
        return [
            f"Not ordered: the full model has not passed popularity ({SELECTED_BY} {points(self.difference.by_user)}"
            f" points over {self.difference.users:,} users [{points(low)}, {points(high)}]); train it longer, or on"
            " more users."
        ]

    def table(self, rows: Rows, first: str) -> Table:
        """The table of the rows; of the full model and popularity alone where no order may be printed."""
        shown = rows if self.passed else {self.label: self.full, POPULARITY: self.popularity}
        return metric_table(shown, first)

    def facts(self) -> dict[str, Any]:
        """The JSON shape, under the key ``order``."""
        apart = self.difference
        return {
            "ordered": self.passed,
            "full_model": self.label,
            "popularity": {metric: self.popularity.value(metric) for metric in METRICS},
            "difference": None if apart is None else {"metric": SELECTED_BY, "by_user": apart.by_user, "p": _p(apart)},
        }


def standing(plan: Plan, label: str, full: Row) -> Standing:
    """Measure popularity on the corpus of the plan, and hold the full model of a table against it."""
    (own,) = named_models([f"{POPULARITY}/global"]).values()
    popularity = measured(plan, {POPULARITY: [own]})[POPULARITY]
    if full.measured is None or popularity.measured is None:
        return Standing(label, full, popularity, None)
    apart = differences(full.measured.user_means(), {POPULARITY: popularity.measured.user_means()})
    return Standing(label, full, popularity, apart[POPULARITY][SELECTED_BY])


def _p(difference: Difference) -> float:
    return max(difference.t_test_holm, difference.wilcoxon_holm)
