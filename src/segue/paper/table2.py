"""Table 2: HG-GNN and the eight baselines of the paper, and below them what the paper left out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from segue import models
from segue.compare import COUNTING, NETWORKS, entrants
from segue.data.corpus import read_manifest
from segue.errors import ConfigError, UserMistake
from segue.evaluation.metrics import METRICS as ALL_METRICS
from segue.evaluation.significance import UserMeans, paired_t_test, user_means
from segue.paper.plan import Plan, Protocol, as_key
from segue.paper.printed_numbers import COMPARISON, METRICS
from segue.paper.rows import (
    Asked,
    Row,
    Rows,
    Wish,
    any_result,
    as_it_is,
    baseline,
    hg_gnn,
    measured,
    metric_table,
    with_reasons,
)
from segue.paper.sheet import MISSING, Cell, Sheet, Table, with_theirs
from segue.pipeline.fit import settings_for
from segue.settings import Nested, merged
from segue.tuning import Budget, Tuned, tune
from segue.tuning.ranges import Search

SIGNIFICANT = 0.01
OURS = "HG-GNN"
BASELINES = {
    "Item-KNN": "item_knn",
    "GRU4Rec": "gru4rec",
    "NARM": "narm",
    "SR-GNN": "sr_gnn",
    "LESSR": "lessr",
    "GCE-GNN": "gce_gnn",
    "H-RNN": "hrnn",
    "A-PGNN": "a_pgnn",
}
"""The paper's rows, by the name of the model here."""
_OTHER_PRESETS = {"GRU4Rec": ("official_bpr_max",), "H-RNN": ("official",)}
"""Of models that were designed for another optimizer and loss than their default preset's."""
_REFEREES = ("personal popularity", "session popularity", "Markov")
_BEYOND = {"session kNN": "session_knn/stan", "SASRec": "sasrec", "SASRec, history": "sasrec/history"}
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
        best: label of that baseline. by: relative, a fraction; None where the baseline scores 0. p: of the paired
            t-test over users, two-sided. better: whether the mean over users is higher too.
    """

    best: str
    by: float | None
    p: float
    better: bool

    @property
    def significant(self) -> bool:
        """What the paper's dagger says."""
        return self.better and self.p < SIGNIFICANT


def comparison(plan: Plan, protocol: Protocol | None = None, trials: int | None = None) -> Sheet:
    """The paper's Table 2.

    Args:
        protocol: by default "preset" in the quick form, "tuned" otherwise.
        trials: of the search of each model; by default 40, or the whole grid.
    """
    chosen = protocol or ("preset" if plan.quick else "tuned")
    if trials is not None and chosen not in _SEARCHES:
        raise ConfigError(
            "--trials is of a search, and presets as they are need none; ask for --protocol tuned or paper"
        )
    points: dict[str, Mapping[str, Any]] = {}
    rows_of = _entrants(chosen)
    if chosen in _SEARCHES:
        most = trials or (_GRID_POINTS if chosen == "paper" else Budget().trials)
        budget = Budget(trials=most, minutes=plan.minutes, search=_SEARCHES[chosen])
        wishes = {label: _tuned(plan, label, wishes, budget, points) for label, wishes in rows_of.items()}
    else:
        budget = Budget()
        wishes = {label: only for label, (only, *_) in rows_of.items()}
    rows = measured(plan, wishes)
    found = _improvements(rows)
    table = _table(rows, found, points)
    caption = (
        *plan.protocol_caption(any_result(rows), _HOW[chosen].format(budget=_in_words(budget))),
        "* is the best of the paper's baselines by its test value, as in the paper: the hardest to beat. Bold is the"
        f" best of all rows. Improv. is {OURS} (preset paper) over the best baseline; † says that it is better with p <"
        f" {SIGNIFICANT:g} in a paired t-test over the means of {any_result(rows)['users']:,} users, uncorrected, as in"
        " the paper.",
        "The rows below Improv. are not the paper's.",
    )
    facts = {
        "protocol": chosen,
        "rows": {label: {**row.as_dict(), "tuned": dict(points.get(label, {}))} for label, row in rows.items()},
        "improvement": {
            metric: {"best": one.best, "by": one.by, "p": one.p, "significant": one.significant}
            for metric, one in found.items()
        },
    }
    shown = with_theirs(table, COMPARISON, METRICS, plan.source)
    return Sheet("table2", "Table 2: comparison with the baselines", caption, shown, facts)


def _entrants(protocol: Protocol) -> dict[str, tuple[Wish, ...]]:
    """The paper's nine rows, then the counting methods and other models that its claims have to stand beside.

    Several wishes of one row are tuned each, and the best on validation is the row.
    """
    if protocol == "tuned":
        paper = {
            label: (_named(name), *(_named(f"{name}/{preset}") for preset in _OTHER_PRESETS.get(label, ())))
            for label, name in BASELINES.items()
        }
    else:
        paper = {label: (baseline(name),) for label, name in BASELINES.items()}
    counting = {label: (as_it_is(COUNTING[label]),) for label in _REFEREES}
    beyond = {label: (_named(entrant),) for label, entrant in _BEYOND.items()}
    return {**paper, OURS: (hg_gnn(),), **counting, **beyond, "HG-GNN segue": (as_it_is(NETWORKS["HG-GNN segue"]),)}


def _named(entrant: str) -> Wish:
    """``name`` or ``name/preset``, as a comparison takes it."""
    return lambda: Asked(next(iter(entrants([entrant]).values())))


def _tuned(
    plan: Plan, label: str, wishes: Sequence[Wish], budget: Budget, points: dict[str, Mapping[str, Any]]
) -> Wish:
    """The best settings found for a row; what was searched is noted in `points`."""

    def search() -> Asked:
        found, failed = [], []
        for wish in wishes:
            try:
                found.append(_search(plan, wish().settings, budget))
            except UserMistake as error:
                failed.append(error)
        if not found:
            raise failed[0]
        best = max(found, key=lambda one: one.value)
        points[label] = best.point
        return Asked(best.settings, best.plan if plan.refit else None)

    return search


def _search(plan: Plan, wished: Nested, budget: Budget) -> Tuned:
    overrides = merged(plan.budget(), wished)
    settings = settings_for(plan.corpus, overrides)
    inputs = [read_manifest(plan.corpus)["fingerprint"], settings.model_dump(mode="json"), budget.search]
    digest = hashlib.sha256(as_key(inputs).encode()).hexdigest()[:10]
    folder = plan.out / "tuning" / f"{models.label(settings).replace('/', '-')}-{digest}"
    return tune(plan.corpus, folder, overrides, budget, progress=plan.progress)


def _in_words(budget: Budget) -> str:
    minutes = f" and {budget.minutes:g} minutes" if budget.minutes is not None else ""
    return f"at most {budget.trials} trials{minutes}"


def _improvements(rows: Rows) -> dict[str, Improvement]:
    """By metric; nothing where HG-GNN or every baseline failed."""
    subject = rows[OURS]
    others = {label: rows[label] for label in BASELINES if rows[label].seeds}
    if not subject.seeds or not others:
        return {}
    return {metric: _improvement(subject, others, metric) for metric in METRICS}


def _improvement(subject: Row, others: Mapping[str, Row], metric: str) -> Improvement:
    best = max(others, key=lambda label: others[label].value(metric) or 0.0)
    ours, theirs = subject.value(metric) or 0.0, others[best].value(metric) or 0.0
    column = list(ALL_METRICS).index(metric)
    apart = (_by_user(subject).means - _by_user(others[best]).means)[:, column]
    by = (ours - theirs) / theirs if theirs else None
    return Improvement(best, by, paired_t_test(apart), bool(apart.mean() > 0))


def _by_user(row: Row) -> UserMeans:
    """Of the same events for every model, in the same order."""
    tables = [
        pq.read_table(Path(seed["training"]["model"]) / "evaluation" / "test.ranks.parquet") for seed in row.seeds
    ]
    users = tables[0].column("user").to_pylist()
    _, number = np.unique(["" if user is None else f"u{user}" for user in users], return_inverse=True)
    return user_means([np.asarray(table.column("rank"), dtype=np.int64) for table in tables], number)


def _table(rows: Rows, found: Mapping[str, Improvement], points: Mapping[str, Mapping[str, Any]]) -> Table:
    plain = metric_table(rows)
    cells = {label: list(row[: len(METRICS)]) for label, row in plain.rows.items()}
    for place, one in enumerate(found.values()):
        cells[one.best][place] = _with_sign(cells[one.best][place], "*")
        if one.significant:
            cells[OURS][place] = _with_sign(cells[OURS][place], "†")
    improved = [Cell(MISSING if one.by is None else f"{100 * one.by:+.2f}%") for one in found.values()]
    shown: dict[str, list[Cell]] = {}
    for label, row in cells.items():
        shown[label] = [*row, Cell(_settings(rows[label], points.get(label)))]
        if label == OURS and improved:
            shown["Improv."] = improved
    table = Table(("model", *METRICS, "settings"), shown)
    return with_reasons(table, {label: row.reason for label, row in rows.items()})


def _with_sign(cell: Cell, sign: str) -> Cell:
    return Cell(cell.text + sign, cell.mark)


def _settings(row: Row, point: Mapping[str, Any] | None) -> str:
    """The preset, and what was tuned over it."""
    if row.reason:
        return ""
    label = str(row.seeds[0]["training"]["label"]).partition("/")[2]
    tuned = (f"{key.partition('.')[2]} {_short(value)}" for key, value in (point or {}).items())
    return ", ".join([f"preset {label}" if label else "defaults", *tuned])


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
