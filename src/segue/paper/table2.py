"""Table 2: HG-GNN and the eight baselines of the paper, and below them what the paper left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from segue import models
from segue.compare import named_models
from segue.data.arrays import FloatArray
from segue.errors import ConfigError
from segue.evaluation.metrics import METRICS as ALL_METRICS
from segue.evaluation.significance import paired_t_test
from segue.paper.order import standing
from segue.paper.plan import Plan, Protocol
from segue.paper.printed_numbers import COMPARISON, METRICS
from segue.paper.rows import Row, Rows, any_result, baseline, hg_gnn, measured, metric_table, with_remarks
from segue.paper.sheet import Sheet, with_theirs
from segue.report.numbers import setting
from segue.report.table import MISSING, Cell, Table
from segue.settings import Nested
from segue.tuning import Budget
from segue.tuning.ranges import Search

SIGNIFICANT = 0.01
OURS = models.load("hg_gnn").title
BASELINES = {
    models.load(name).title: name
    for name in ("item_knn", "gru4rec", "narm", "sr_gnn", "lessr", "gce_gnn", "hrnn", "a_pgnn")
}
"""The paper's rows in their order: title of the model → its name here."""
_OTHER_PRESETS = {"gru4rec": ("official_bpr_max",), "hrnn": ("official",)}
"""Further presets of models that were designed for another optimizer and loss than their default preset has."""
_BEYOND = {
    "personal popularity": "popularity/personal",
    "session popularity": "popularity/session",
    "Markov": "markov",
    "session kNN": "session_knn/stan",
    "EASE": "ease",
    "SLIST": "slist",
    "SASRec": "sasrec",
    "SASRec, history": "sasrec/history",
    "HG-GNN segue": "hg_gnn/segue",
}
"""Rows that are not the paper's: label → model and preset."""
_SEARCHES: dict[Protocol, Search] = {"tuned": "tpe", "paper": "paper-grid"}
_GRID_POINTS = 80
_HOW: dict[Protocol, str] = {
    "preset": "each at its preset for the paper's conditions, not tuned",
    "tuned": "each in its authors' preset and tuned by HR@10 on validation with the same budget, {budget}; GRU4Rec and"
    " H-RNN with it in two presets, of which the better on validation is shown",
    "paper": "each tuned by HR@10 on validation over the paper's grid of d, learning rate and layers (propagation steps"
    " of SR-GNN and A-PGNN, hops of GCE-GNN), {budget}",
}


@dataclass(frozen=True)
class Improvement:
    """HG-GNN against the best baseline in one metric.

    Attributes:
        best: label of that baseline. by: relative gain as a fraction; None where the baseline scores 0. p: p value of
            the paired t-test over users, two-sided. better: whether the mean over users is higher too.
    """

    best: str
    by: float | None
    p: float
    better: bool

    @property
    def significant(self) -> bool:
        """Whether the paper's dagger marks the difference: better over users, and p below 0.01."""
        return self.better and self.p < SIGNIFICANT


def comparison(plan: Plan, protocol: Protocol | None = None, trials: int | None = None) -> Sheet:
    """Build the paper's Table 2 on the corpus of the plan.

    Args:
        protocol: by default "preset" in the quick form, "tuned" otherwise.
        trials: most trials in the search of each model; by default 40, or the whole grid.
    """
    chosen = protocol or ("preset" if plan.quick else "tuned")
    if trials is not None and chosen not in _SEARCHES:
        raise ConfigError(
            "--trials limits a search, and --protocol preset searches nothing; use --protocol tuned or paper"
        )
    budget = None
    if chosen in _SEARCHES:
        most = trials or (_GRID_POINTS if chosen == "paper" else Budget().trials)
        budget = Budget(trials=most, minutes=plan.minutes, search=_SEARCHES[chosen])
    rows = measured(plan, _candidates(chosen), budget)
    order = standing(plan, OURS, rows[OURS])
    improvements = _improvements(rows) if order.passed else {}
    how = _HOW[chosen].format(budget=_in_words(budget) if budget else "")
    facts = {
        "protocol": chosen,
        "rows": {label: {**row.as_dict(), "tuned": _tuned(row)} for label, row in rows.items()},
        "improvement": {
            metric: {"best": one.best, "by": one.by, "p": one.p, "significant": one.significant}
            for metric, one in improvements.items()
        },
        "order": order.facts(),
    }
    table = _table(rows, improvements) if order.passed else _table(rows, {}).unmarked()
    caption = (*_caption(plan, rows, how), *order.caption)
    shown = with_theirs(table, COMPARISON, METRICS, plan.source)
    return Sheet("table2", "Table 2: comparison with the baselines", caption, shown, facts)


def _caption(plan: Plan, rows: Rows, how: str) -> tuple[str, ...]:
    common = any_result(rows)
    return (
        *plan.protocol_caption(common, how),
        "* is the best of the paper's baselines by its test value, as in the paper: the hardest to beat. Bold is the"
        f" best of all rows. Improv. is {OURS} (preset paper) over the best baseline; † says that it is better with p <"
        f" {SIGNIFICANT:g} in a paired t-test over the means of {common.users:,} users, uncorrected, as in the paper.",
        "The rows below Improv. are not the paper's.",
    )


def _candidates(protocol: Protocol) -> dict[str, list[Nested]]:
    """The paper's nine rows, then the counting methods and other models that its claims have to stand beside.

    Where a row has several candidates, each is searched, and the best on validation becomes the row.
    """
    if protocol == "tuned":
        paper = {
            label: [_preset(name), *(_preset(f"{name}/{other}") for other in _OTHER_PRESETS.get(name, ()))]
            for label, name in BASELINES.items()
        }
    else:
        paper = {label: [baseline(name)] for label, name in BASELINES.items()}
    beyond = {label: [_preset(entry)] for label, entry in _BEYOND.items()}
    return {**paper, OURS: [hg_gnn()], **beyond}


def _preset(entry: str) -> Nested:
    """The settings of ``name`` or ``name/preset``."""
    return next(iter(named_models([entry]).values()))


def _in_words(budget: Budget) -> str:
    minutes = f" and {budget.minutes:g} minutes" if budget.minutes is not None else ""
    return f"at most {budget.trials} trials{minutes}"


def _improvements(rows: Rows) -> dict[str, Improvement]:
    """The improvement per metric; empty where HG-GNN or every baseline failed."""
    subject = rows[OURS]
    others = {label: rows[label] for label in BASELINES if rows[label].measured}
    if not subject.measured or not others:
        return {}
    return {metric: _improvement(subject, others, metric) for metric in METRICS}


def _improvement(subject: Row, others: Mapping[str, Row], metric: str) -> Improvement:
    best = max(others, key=lambda label: others[label].value(metric) or 0.0)
    ours, theirs = subject.value(metric) or 0.0, others[best].value(metric) or 0.0
    column = list(ALL_METRICS).index(metric)
    apart = (_user_means(subject) - _user_means(others[best]))[:, column]
    by = (ours - theirs) / theirs if theirs else None
    return Improvement(best, by, paired_t_test(apart), bool(apart.mean() > 0))


def _user_means(row: Row) -> FloatArray:
    """Metrics of each user, [users, metrics]; none for a row that was not measured."""
    return row.measured.user_means().means if row.measured else np.zeros((0, len(ALL_METRICS)))


def _tuned(row: Row) -> dict[str, Any]:
    return dict(row.measured.entry.tuned) if row.measured else {}


def _table(rows: Rows, improvements: Mapping[str, Improvement]) -> Table:
    plain = metric_table(rows)
    cells = {label: list(row[: len(METRICS)]) for label, row in plain.rows.items()}
    for column, one in enumerate(improvements.values()):
        cells[one.best][column] = _with_sign(cells[one.best][column], "*")
        if one.significant:
            cells[OURS][column] = _with_sign(cells[OURS][column], "†")
    improved = [Cell(MISSING if one.by is None else f"{100 * one.by:+.2f}%") for one in improvements.values()]
    shown: dict[str, list[Cell]] = {}
    for label, row in cells.items():
        shown[label] = [*row, Cell(_settings(rows[label]))]
        if label == OURS and improved:
            shown["Improv."] = improved
    table = Table(("model", *METRICS, "settings"), shown)
    return with_remarks(table, rows)


def _with_sign(cell: Cell, sign: str) -> Cell:
    return Cell(cell.text + sign, cell.mark)


def _settings(row: Row) -> str:
    """The preset of a row and the values that its search chose, in words."""
    if row.measured is None:
        return ""
    preset = row.measured.entry.settings["model"].get("preset")
    tuned = (f"{key.partition('.')[2]} {setting(value)}" for key, value in row.measured.entry.tuned.items())
    return ", ".join([f"preset {preset}" if preset else "defaults", *tuned])
