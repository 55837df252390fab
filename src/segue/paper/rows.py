"""The rows of the paper's tables: models fitted and measured by the comparison engine, or the reason of a failure.

Runs are shared between tables: a model is fitted once for equal settings, whichever table asks for it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from segue import models
from segue.compare.entrant import Callbacks, Choice, Entrant, as_it_is, fit_seeds, search, seeds_of
from segue.compare.note import folder_name
from segue.compare.row import EntrantRow, read_row
from segue.compare.table import CURVES
from segue.data.corpus_folder import read_manifest
from segue.errors import SegueError, UserMistake
from segue.evaluation.measurement import Measurement, check_same_events
from segue.paper.plan import Plan, digest
from segue.paper.printed_numbers import METRICS
from segue.pipeline.settings import settings_for_corpus
from segue.report.numbers import percent_column
from segue.report.table import Table
from segue.settings import Nested, merged
from segue.settings.overrides import dotted_keys
from segue.training.epochs import training_facts
from segue.tuning import Budget

logger = logging.getLogger("segue")

PAPER_CONDITIONS = "paper_conditions"
"""The preset of a baseline that is trained as the paper trains it."""


@dataclass(frozen=True)
class Row:
    """One line of a table: what was measured, or the reason why nothing was."""

    measured: EntrantRow | None = None
    reason: str = ""

    def value(self, metric: str) -> float | None:
        """Mean of a metric over seeds, as a fraction; None for a row without measurement."""
        return self.measured.metrics[metric].mean if self.measured else None

    def spread(self, metric: str) -> float | None:
        """Standard deviation of a metric over seeds; None with one seed, or for a row without measurement."""
        return self.measured.metrics[metric].sd if self.measured else None

    def as_dict(self) -> dict[str, Any]:
        """The row in the JSON shape of ``NAME.json``."""
        if self.measured is None:
            return {"reason": self.reason}
        spreads = self.measured.metrics
        seeds = [
            {**measurement.as_dict(), "training": training_facts(run).as_dict()}
            for run, measurement in zip(self.measured.runs, self.measured.measurements, strict=True)
        ]
        return {
            "metrics": {name: spread.mean for name, spread in spreads.items()},
            "spread": {name: spread.sd for name, spread in spreads.items()} if len(seeds) > 1 else {},
            "settings": self.measured.entry.settings,
            "flattened": self.measured.flattened,
            "seeds": seeds,
        }


Rows = dict[str, Row]


def hg_gnn(**sections: dict[str, Any]) -> Nested:
    """The settings of the paper's model with some changed, such as ``graph={"sample_size": 8}``."""
    return {**sections, "model": {"name": "hg_gnn", "preset": "paper", **sections.get("model", {})}}


def baseline(name: str) -> Nested:
    """The settings of a model under the paper's conditions; its first preset where it has no such preset."""
    presets = models.load(name).presets if name in models.names() else {}
    return {"model": {"name": name, **({"preset": PAPER_CONDITIONS} if PAPER_CONDITIONS in presets else {})}}


def measured(plan: Plan, wanted: Mapping[str, Sequence[Nested]], budget: Budget | None = None) -> Rows:
    """Fit and measure one model per row with every seed; what is finished under the plan's folder is not repeated.

    Args:
        wanted: label → the settings of its candidates, of which the best on validation is the row.
        budget: limits of the search for each candidate's settings; None: the settings stay unchanged.

    Raises UserMistake when no row at all could be measured.
    """
    rows = {label: _row(plan, label, candidates, budget) for label, candidates in wanted.items()}
    if all(row.reason for row in rows.values()):
        raise UserMistake(f"no model could be measured; {next(iter(rows))}: {next(iter(rows.values())).reason}")
    check_same_events(
        {f"{label}, seed {seed}": one for label, row in rows.items() for seed, one in enumerate(_measurements(row))}
    )
    return rows


def any_result(rows: Rows) -> Measurement:
    """A measurement to read what all rows share, such as the number of events."""
    return next(measurement for row in rows.values() for measurement in _measurements(row))


def metric_table(rows: Rows, first: str = "model") -> Table:
    """One line per row, the paper's four metrics in percent, the best of each column marked; reasons at the end."""
    columns = [
        percent_column([row.value(metric) for row in rows.values()], [row.spread(metric) for row in rows.values()])
        for metric in METRICS
    ]
    cells = {label: [column[number] for column in columns] for number, label in enumerate(rows)}
    return with_remarks(Table((first, *METRICS), cells), rows)


def with_remarks(table: Table, rows: Rows) -> Table:
    """The table with a column for learning curves that have not flattened and one for reasons, where there are some."""
    curves = {label: CURVES[False] for label, row in rows.items() if row.measured and row.measured.flattened is False}
    table = table.with_column("learning curve", curves) if curves else table
    return with_reasons(table, {label: row.reason for label, row in rows.items()})


def with_reasons(table: Table, reasons: Mapping[str, str]) -> Table:
    """The table with a last column that says why rows are empty, where some are."""
    return table.with_column("not measured because", reasons) if any(reasons.values()) else table


def _measurements(row: Row) -> tuple[Measurement, ...]:
    return row.measured.measurements if row.measured else ()


def _row(plan: Plan, label: str, candidates: Sequence[Nested], budget: Budget | None) -> Row:
    callbacks = Callbacks(plan.progress)
    try:
        choice = _choose(plan, label, candidates, budget, callbacks)
        name = folder_name(models.label(choice.settings))
        epochs = [asdict(epoch) for epoch in choice.epochs] if choice.epochs is not None else None
        fingerprint = read_manifest(plan.corpus)["fingerprint"]
        key = digest(fingerprint, choice.settings.model_dump(mode="json"), plan.refit, epochs)
        folder = plan.out / "models" / f"{name}-{key}"
        seeds = seeds_of(choice.settings.model.name, range(plan.seeds))
        logger.info("%s", label)
        runs = list(fit_seeds(plan.corpus, folder, choice, seeds, refit=plan.refit, callbacks=callbacks))
        return Row(read_row(folder, runs))
    except SegueError as error:
        logger.warning("%s: %s", label, error)
        return Row(reason=" ".join(str(error).split()))


def _choose(
    plan: Plan, label: str, candidates: Sequence[Nested], budget: Budget | None, callbacks: Callbacks
) -> Choice:
    """The settings of a row: its only candidate as it is, or the best of all. Raises the first error if all fail."""
    if budget is None:
        (only,) = candidates
        return as_it_is(_entrant(plan, label, only))
    choices, failures = [], []
    for own in candidates:
        try:
            choices.append(_searched(plan, _entrant(plan, label, own), budget, callbacks))
        except UserMistake as error:
            failures.append(error)
    if not choices:
        raise failures[0]
    return max(choices, key=lambda choice: choice.validation or 0.0)


def _entrant(plan: Plan, label: str, own: Nested) -> Entrant:
    """The door of the paper's tables: the settings that all rows share, and a row's own, become complete ones."""
    overrides = merged(plan.budget(), own)
    return Entrant(label, settings_for_corpus(plan.corpus, overrides), dotted_keys(overrides))


def _searched(plan: Plan, entrant: Entrant, budget: Budget, callbacks: Callbacks) -> Choice:
    fingerprint = read_manifest(plan.corpus)["fingerprint"]
    key = digest(fingerprint, entrant.settings.model_dump(mode="json"), budget.search)
    folder = plan.out / "tuning" / f"{folder_name(models.label(entrant.settings))}-{key}"
    choice = search(plan.corpus, folder, entrant, budget, callbacks)
    return choice if plan.refit else choice.selecting_again()
