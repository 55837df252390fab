"""The runs of a study: trained and measured through ``compare``, shared between studies, a failure being a row."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from segue import models
from segue.compare import compare
from segue.contract.model import SessionEncoder
from segue.data.corpus import read_manifest
from segue.errors import SegueError, UserMistake
from segue.paper.plan import Plan, as_key
from segue.paper.printed_numbers import METRICS
from segue.paper.sheet import MISSING, Cell, Table
from segue.pipeline.fit import settings_for
from segue.settings import Nested, merged
from segue.training.trainer import EpochPlan

logger = logging.getLogger("segue")


@dataclass(frozen=True)
class Asked:
    """Settings of a run, and the epochs that its refit plays where a search has chosen them already."""

    settings: Nested
    epochs: Sequence[EpochPlan] | None = None


Wish = Callable[[], Asked]
"""Settings that are only known once the model is: asking for them may fail, and the row then says why."""


@dataclass(frozen=True)
class Row:
    """One line of a table: an evaluation for each seed, or the reason why there is none."""

    seeds: tuple[Mapping[str, Any], ...] = ()
    reason: str = ""
    settings: Nested = field(default_factory=dict)

    def value(self, metric: str) -> float | None:
        """The mean over seeds, a fraction."""
        return float(np.mean([seed["metrics"][metric] for seed in self.seeds])) if self.seeds else None

    def spread(self, metric: str) -> float | None:
        """The standard deviation over seeds, where there are several."""
        values = [seed["metrics"][metric] for seed in self.seeds]
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape."""
        if self.reason:
            return {"reason": self.reason}
        metrics = {name: self.value(name) for name in self.seeds[0]["metrics"]}
        spread = {name: self.spread(name) for name in metrics} if len(self.seeds) > 1 else {}
        return {"metrics": metrics, "spread": spread, "settings": self.settings, "seeds": list(self.seeds)}


Rows = dict[str, Row]


def hg_gnn(**sections: dict[str, Any]) -> Wish:
    """The paper's model with some settings changed, such as ``graph={"sample_size": 8}``."""
    model = {"name": "hg_gnn", "preset": "paper", **sections.get("model", {})}
    return lambda: Asked({**sections, "model": model})


def baseline(name: str) -> Wish:
    """A model under the paper's conditions: its preset "paper_conditions" where it has one, else its default."""

    def wish() -> Asked:
        preset = {"preset": "paper_conditions"} if "paper_conditions" in models.load(name).presets else {}
        return Asked({"model": {"name": name, **preset}})

    return wish


def as_it_is(overrides: Nested) -> Wish:
    """A run with just these settings."""
    return lambda: Asked(overrides)


def measured(plan: Plan, wishes: Mapping[str, Wish]) -> Rows:
    """Train and measure every run with every seed; what is finished under the plan's folder is not repeated.

    Raises UserMistake when no run at all succeeds.
    """
    rows = {label: _row(plan, label, wish) for label, wish in wishes.items()}
    if all(row.reason for row in rows.values()):
        raise UserMistake(f"no run of this study succeeded; {next(iter(rows))}: {next(iter(rows.values())).reason}")
    if len({seed["event_hash"] for row in rows.values() for seed in row.seeds}) > 1:
        raise UserMistake(f"the runs under {plan.out} were measured on different events; empty the folder and repeat")
    return rows


def any_result(rows: Rows) -> Mapping[str, Any]:
    """Some evaluation, for what they all have in common."""
    return next(seed for row in rows.values() for seed in row.seeds)


def _row(plan: Plan, label: str, wish: Wish) -> Row:
    try:
        asked = wish()
        overrides = merged(plan.budget(), asked.settings)
        by_chance = issubclass(models.load(overrides["model"]["name"]), SessionEncoder)
        seeds = range(plan.seeds if by_chance else 1)
        return Row(
            tuple(_measure(plan, label, Asked(overrides, asked.epochs), seed) for seed in seeds), settings=overrides
        )
    except SegueError as error:
        logger.warning("%s: %s", label, error)
        return Row(reason=" ".join(str(error).split()))


def _measure(plan: Plan, label: str, asked: Asked, seed: int) -> dict[str, Any]:
    """One training, in a folder named after all that went into it: equal runs of two studies are one."""
    overrides = merged(asked.settings, {"training": {"seed": seed}})
    settings = settings_for(plan.corpus, overrides)
    inputs: list[Any] = [read_manifest(plan.corpus)["fingerprint"], settings.model_dump(mode="json"), plan.refit]
    inputs += [[asdict(epoch) for epoch in asked.epochs]] if asked.epochs is not None else []
    key = f"{models.label(settings)} {hashlib.sha256(as_key(inputs).encode()).hexdigest()[:10]}"
    logger.info("%s%s", label, f", seed {seed}" if plan.seeds > 1 else "")
    epochs = {key: asked.epochs} if asked.epochs is not None else None
    folder = plan.out / "models"
    return compare(plan.corpus, {key: overrides}, folder, refit=plan.refit, epochs=epochs, progress=plan.progress)[key]


def metric_table(rows: Rows, first: str = "model") -> Table:
    """A line a run, the paper's four metrics in percent, the best of each column marked; reasons stand at the end."""
    texts = {label: [_percent(row, metric) for metric in METRICS] for label, row in rows.items()}
    best = [max(filter(None, (row.value(metric) for row in rows.values())), default=None) for metric in METRICS]
    cells = {
        label: [
            Cell(text, "best" if row.value(metric) is not None and row.value(metric) == top else "")
            for text, metric, top in zip(texts[label], METRICS, best, strict=True)
        ]
        for label, row in rows.items()
    }
    return with_reasons(Table((first, *METRICS), cells), {label: row.reason for label, row in rows.items()})


def with_reasons(table: Table, reasons: Mapping[str, str]) -> Table:
    """A last column that says why rows are empty, where some are."""
    if not any(reasons.values()):
        return table
    width = len(table.columns) - 1
    rows = {
        label: [*cells, *[Cell("")] * (width - len(cells)), Cell(reasons.get(label, ""))]
        for label, cells in table.rows.items()
    }
    return Table((*table.columns, "not measured because"), rows, table.title)


def _percent(row: Row, metric: str) -> str:
    value, spread = row.value(metric), row.spread(metric)
    if value is None:
        return MISSING
    return f"{100 * value:.2f}" + (f" ± {100 * spread:.2f}" if spread is not None else "")
