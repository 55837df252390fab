"""The tables of a comparison for people, which its Markdown and its page share, and the Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from segue.compare.row import EntrantRow, Spread
from segue.compare.slices import Standing
from segue.compare.summary import Summary
from segue.report import markdown as text
from segue.report.evaluation_page import SLICE_TITLES
from segue.report.numbers import percent, percent_column, points, setting
from segue.report.table import MISSING, Cell, Table

CURVES: Mapping[bool | None, str] = {True: "flattened", False: "not flattened", None: MISSING}
"""Whether the learning curve of a row had flattened → what its table says."""
_COSTS = (
    "seeds",
    "parameters",
    "tuning s",
    "trials",
    "training s",
    "events played",
    "test ms/event",
    "validation HR@10",
    "learning curve",
    "settings found",
)
_APART = ("points", "95 % over events", "verdict")


def metrics_by_event(summary: Summary) -> Table:
    """Means over events in percent, with ± one standard deviation over seeds; the coverage of the lists beside them."""
    return _metric_table(summary, "Averaged over events", lambda row: {**row.metrics, **row.coverage})


def metrics_by_user(summary: Summary) -> Table:
    """Means over users in percent, with ± one standard deviation over seeds."""
    return _metric_table(summary, "Averaged over users", lambda row: row.metrics_by_user)


def costs(summary: Summary) -> Table:
    """The costs of each model in seconds and trials, and the settings that its search chose."""
    common = summary.any_measurement
    events = common.events if common else 1
    return Table(("model", *_COSTS), {label: _costs(row, events) for label, row in summary.rows.items()})


def by_slice(summary: Summary) -> Table:
    """HR@10 of the first model and of its best referee in every slice; no rows where there is no referee."""
    rows = {
        f"{SLICE_TITLES[kind]}: {name}": _standing(one)
        for kind, standings in summary.slices.items()
        for name, one in standings.items()
    }
    columns = ("slice", "events", f"{summary.subject}", "best referee", "its HR@10", *_APART)
    return Table(columns, rows, "HR@10 by slice, beside the best model that is not trained")


def sentences(summary: Summary) -> list[str]:
    """The verdicts in words, the one on the best baseline first; before all, whether an order may be read at all."""
    best = summary.best_baseline
    if best is None:
        return []
    rest = [sentence for label, sentence in summary.verdicts.items() if label != best]
    first = [f"Not ordered: {summary.subject} has not passed popularity; train it longer, or on more users."]
    refused = first if summary.passed_popularity is False else []
    return [*refused, f"Best baseline by validation: {best}.", summary.verdicts[best], *rest]


def unconverged(summary: Summary) -> list[str]:
    """One sentence per model whose training a limit ended before its learning curve had flattened."""
    return [
        f"{label}: not converged, a limit of epochs or minutes ended its training before its learning curve flattened"
        for label, row in summary.rows.items()
        if row.flattened is False
    ]


def leftovers(summary: Summary) -> list[str]:
    """One sentence per model that is missing from the table, with the reason."""
    failed = [f"{label}: left out, {reason}" for label, reason in summary.failed.items()]
    return failed + [f"{label}: not finished, {done} of {of} seeds" for label, (done, of) in summary.unfinished.items()]


def protocol(summary: Summary) -> str:
    """The protocol that all rows share, in words."""
    common = summary.any_measurement
    if common is None:
        return "No model is finished yet."
    plan = summary.plan
    tuned = (
        f"every model had {plan['minutes']:g} minutes and {plan['trials']} trials at most ({plan['search']})"
        " to be tuned on validation"
        if plan["minutes"]
        else "no model was tuned"
    )
    masked = "; items of the running session are no candidates" if common.masked else ""
    return (
        f"{common.events:,} {common.split} events in {common.sessions:,} sessions of {common.users:,}"
        f" users (split {common.protocol}, history {common.history}{masked}); every item is ranked, ties count"
        f" against the model; {tuned}, then was fitted on train + validation; % ± standard deviation over seeds."
    )


def markdown(summary: Summary) -> str:
    """The whole comparison as Markdown; the best of a column is bold."""
    parts = [text.plain(protocol(summary))]
    if summary.rows:
        tables = [metrics_by_event(summary), metrics_by_user(summary), costs(summary)]
        parts += map(text.table, [*tables, *([by_slice(summary)] if summary.slices else [])])
    below = (sentences(summary), unconverged(summary), leftovers(summary))
    parts += [text.bullets(lines) for lines in below if lines]
    return "\n\n".join(parts) + "\n"


def _metric_table(summary: Summary, title: str, averages: Callable[[EntrantRow], Mapping[str, Spread]]) -> Table:
    spreads = {label: averages(row) for label, row in summary.rows.items()}
    names = list(next(iter(spreads.values()), {}))
    columns = [
        percent_column([of[name].mean for of in spreads.values()], [of[name].sd for of in spreads.values()])
        for name in names
    ]
    rows = {label: [column[number] for column in columns] for number, label in enumerate(spreads)}
    shown = Table(("model", *names), rows, title)
    return shown.unmarked() if summary.passed_popularity is False else shown


def _standing(one: Standing) -> list[Cell]:
    low, high = map(points, one.interval)
    values = (percent(one.value), one.referee, percent(one.referee_value), points(one.difference))
    return [Cell(text) for text in (f"{one.events:,}", *values, f"[{low}, {high}]", one.verdict)]


def _costs(row: EntrantRow, events: int) -> list[Cell]:
    entry, seconds = row.entry, row.seconds
    tuned = ", ".join(f"{key.partition('.')[2]} {setting(value)}" for key, value in entry.tuned.items())
    texts = [
        str(len(row.runs)),
        f"{row.costs[0].parameters:,}" if row.costs[0].parameters else MISSING,
        f"{entry.seconds:,.0f}",
        str(entry.trials),
        f"{seconds['training'].mean:,.1f}",
        f"{row.trained_events:,}" if row.trained_events else MISSING,
        f"{1000 * seconds['inference'].mean / events:.3f}",
        percent(entry.validation),
        CURVES[row.flattened],
        tuned or "as preset",
    ]
    return [Cell(shown) for shown in texts]
