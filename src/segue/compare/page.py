"""The table of a comparison as one HTML page with plots, that opens without a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segue.compare.entrant import TUNING
from segue.compare.row import EntrantRow
from segue.compare.summary import Summary
from segue.compare.table import (
    by_slice,
    costs,
    leftovers,
    metrics_by_event,
    metrics_by_user,
    protocol,
    sentences,
    unconverged,
)
from segue.evaluation.significance import Difference
from segue.report import html
from segue.report.evaluation_page import curves_section, slices_section
from segue.report.numbers import points
from segue.report.table import Cell, Table
from segue.system.atomic import write_text, writing
from segue.training.epochs import EpochRecord, read_epochs
from segue.version import __version__

_PLOTTED = ("HR@10", "MRR@10")
_REFEREES = (
    "The best referee of a slice is chosen on these events, which favours it. Seeds are averaged first, whole users are"
    " drawn with replacement; above and below: the interval excludes zero, without a correction for the many slices."
)
_TESTS = ("points", "95 % over users", "95 % over events", "t-test", "Wilcoxon", "significant")


def write_page(path: Path, summary: Summary) -> None:
    """Write the page; raises ArtifactError when it cannot be written."""
    # Altair takes as long to import as the rest of Segue.
    from segue.report import charts

    all_charts: dict[str, Any] = {}
    sections = [html.section("Verdicts", html.bullets(sentences(summary)))] if sentences(summary) else []
    if summary.rows:
        sections += _measured_sections(summary, charts.colours(list(summary.rows)), all_charts)
    if leftovers(summary):
        sections.append(html.section("Not in the table", html.bullets(leftovers(summary))))
    text = html.page(f"Segue {__version__}: comparison", [protocol(summary)], sections, all_charts, charts.script())
    with writing(path.parent):
        write_text(path, text)


def _measured_sections(summary: Summary, colour: Mapping[str, str], all_charts: dict[str, Any]) -> list[str]:
    """The sections with the measurements; their charts are added to `all_charts`, by title."""
    rows = summary.rows
    means = _mean_charts(rows, colour)
    slices, bars = slices_section({label: row.measurements[0] for label, row in rows.items()}, colour)
    learning, epochs = curves_section({label: _selection(row) for label, row in rows.items()}, colour)
    all_charts.update(means | bars | epochs)
    tables = [html.table(metrics_by_event(summary)), html.table(metrics_by_user(summary))]
    sections = [html.section("Metrics, %", html.figures(means), *tables), _significance(summary)]
    sections += [html.section("Costs and settings", html.table(costs(summary)), *map(html.note, unconverged(summary)))]
    sections += [slices, html.note("The slices are those of the first seed.")]
    if summary.slices:
        sections.append(html.section("Beside the best referee", html.table(by_slice(summary)), html.note(_REFEREES)))
    if epochs:
        hint = "The curves are those of the best trial of each search; without a search, of the first seed."
        sections += [learning, html.note(hint)]
    return sections


def _mean_charts(rows: Mapping[str, EntrantRow], colour: Mapping[str, str]) -> dict[str, Any]:
    from segue.report import charts

    mean_charts = {}
    for metric in _PLOTTED:
        means = {label: (row.metrics[metric].mean, row.metrics[metric].sd) for label, row in rows.items()}
        mean_charts[f"{metric} over events, % ± standard deviation"] = charts.means(means, metric, colour)
    return mean_charts


def _selection(row: EntrantRow) -> list[EpochRecord]:
    """The epochs from which the epoch of the model was selected."""
    run = row.runs[0]
    return read_epochs(run) or read_epochs(run.parent / TUNING)


def _significance(summary: Summary) -> str:
    """A section with every difference that was tested, p values after Holm's correction."""
    rows = {
        f"{label}: {name}": _tests(difference)
        for label, metrics in summary.significance.items()
        for name, difference in metrics.items()
    }
    if not rows:
        return ""
    hint = "Means over users, seeds averaged first; p after Holm over this whole table; users drawn with replacement."
    return html.section("Significance", html.table(Table((f"{summary.subject} minus", *_TESTS), rows)), html.note(hint))


def _tests(difference: Difference) -> list[Cell]:
    intervals = (difference.by_user_interval, difference.by_event_interval)
    texts = [
        points(difference.by_user),
        *(f"[{points(low)}, {points(high)}]" for low, high in intervals),
        *(f"{p:.2g}" for p in (difference.t_test_holm, difference.wilcoxon_holm)),
        "yes" if difference.significant else "no",
    ]
    return [Cell(text) for text in texts]
