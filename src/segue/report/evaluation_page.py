"""The report of trained models: one HTML page that opens without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segue.evaluation.measurement import Measurement, Metrics, check_same_events
from segue.evaluation.slices import SLICES
from segue.report import html
from segue.report.numbers import figure, flattened, is_nested_table, percent_column, words
from segue.report.table import MISSING, Cell, Table
from segue.system.atomic import write_text, writing

if TYPE_CHECKING:
    from segue.training.epochs import EpochRecord

Measurements = Mapping[str, Measurement]
"""Label of a model → its measurement."""
Curves = Mapping[str, Sequence["EpochRecord"]]
"""Label of a model → the epochs of its training; may lack labels."""

SLICE_METRIC = "HR@10"

SLICE_TITLES = {
    "prefix_length": "Items in the session so far",
    "target": "Kind of the next item",
    "popularity": "Popularity of the next item (thirds of the train events)",
    "history": "Train sessions of the user",
    "click": "Click of the session",
    "user": "Past of the user",
    "item_age": "First appearance of the next item",
}
"""Kind of slice → its heading, in order of report."""


def write_report(
    path: Path,
    *,
    title: str,
    measurements: Measurements,
    curves: Curves,
    statistics: Mapping[str, Any],
    notes: Sequence[str],
) -> None:
    """Write one self-contained HTML file: metrics, slices, learning curves, statistics.

    Args:
        measurements: at least one; they must be of the same events.
        statistics: facts about data and graph, possibly nested; a table of tables becomes a table of its own.
        notes: sentences, shown under the title.

    Raises UserMistake when there is no measurement or they are of different events, ArtifactError when the file cannot
    be written.
    """
    # Altair takes as long to import as the rest of Segue, and most commands write no report.
    from segue.report import charts

    check_same_events(measurements)
    colour = charts.colours(list(dict.fromkeys(chain(measurements, curves))))
    slices, bars = slices_section(measurements, colour)
    sections = [_metrics_section(measurements), slices]
    learning, epochs = curves_section(curves, colour)
    if epochs:
        sections.append(learning)
    if statistics:
        sections.append(html.section("Data and graph", *map(html.table, _statistics_tables(statistics))))
    first = next(iter(measurements.values()))
    text = html.page(title, [protocol_sentence(first), *notes], sections, {**bars, **epochs}, charts.script())
    with writing(path.parent):
        write_text(path, text)


def slices_section(measurements: Measurements, colour: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The section of metrics by slice, and its charts by title."""
    from segue.report import charts

    # A measurement of an earlier Segue lacks the kinds that came since.
    sizes = {kind: _slice_sizes(measurements, kind) for kind in SLICE_TITLES}
    bars = {
        heading: charts.slice_bars(
            {label: measured.slices.get(kind, {}) for label, measured in measurements.items()},
            SLICE_METRIC,
            colour,
            sizes[kind],
        )
        for kind, heading in SLICE_TITLES.items()
        if sizes[kind]
    }
    as_table = html.details("the same numbers as a table", html.table(_slice_table(measurements)))
    title = f"Where it works: {SLICE_METRIC}, %"
    return html.section(title, html.legend(colour), html.figures(bars), as_table), bars


def curves_section(curves: Curves, colour: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The section of loss and validation by epoch, and its charts by title; no chart where nothing was trained."""
    from segue.report import charts

    epochs = charts.learning_curves(curves, colour)
    hint = html.note("The large point is the epoch that was kept.")
    trained = {label: colour[label] for label, records in curves.items() if records}
    return html.section("Learning curves", html.legend(trained), html.figures(epochs), hint), epochs


def protocol_sentence(measured: Measurement) -> str:
    """How many events of which split were measured, and how, in words."""
    masked = "; items of the running session are no candidates" if measured.masked else ""
    return (
        f"{measured.events:,} {measured.split} events in {measured.sessions:,} sessions of {measured.users:,} users"
        f" (split {measured.protocol}, history {measured.history}{masked})."
        " Every item is ranked; ties count against the model."
    )


def metric_table(averages: Mapping[str, Metrics]) -> Table:
    """A row for each label, a column for each metric, in percent; the best of a column is marked."""
    names = list(next(iter(averages.values()), {}))
    columns = [percent_column([metrics[name] for metrics in averages.values()]) for name in names]
    rows = {label: [column[number] for column in columns] for number, label in enumerate(averages)}
    return Table(("model", *names), rows)


def _metrics_section(measurements: Measurements) -> str:
    by_event = metric_table({label: measured.metrics for label, measured in measurements.items()})
    by_session = metric_table({label: measured.metrics_by_session for label, measured in measurements.items()})
    by_user = metric_table({label: measured.metrics_by_user for label, measured in measurements.items()})
    return html.section(
        "Metrics, %, averaged over events",
        html.table(by_event),
        html.details("averaged over sessions", html.table(by_session)),
        html.details("averaged over users", html.table(by_user)),
    )


def _slice_sizes(measurements: Measurements, kind: str) -> dict[str, int]:
    """The slices that hold events, in their own order, with the number of their events."""
    sizes = {
        name: int(values["events"])
        for measured in measurements.values()
        for name, values in measured.slices.get(kind, {}).items()
    }
    return {name: sizes[name] for name in SLICES[kind] if name in sizes}


def _slice_table(measurements: Measurements) -> Table:
    rows = {}
    for kind, heading in SLICE_TITLES.items():
        for name, events in _slice_sizes(measurements, kind).items():
            slices = [measured.slices.get(kind, {}).get(name, {}) for measured in measurements.values()]
            cells = percent_column([values.get(SLICE_METRIC) for values in slices])
            rows[f"{heading}: {name}"] = [Cell(figure(events)), *cells]
    return Table(("slice", "events", *measurements), rows)


def _statistics_tables(statistics: Mapping[str, Any]) -> list[Table]:
    """A table of single facts, then one for each table of tables, such as the relations of a graph."""
    nested = {key: value for key, value in statistics.items() if is_nested_table(value)}
    single = flattened({key: value for key, value in statistics.items() if key not in nested})
    tables = [Table(("",), {name: [Cell(figure(value))] for name, value in single.items()})] if single else []
    for key, rows in nested.items():
        flat = {name: flattened(row) for name, row in rows.items()}
        columns = list(dict.fromkeys(chain.from_iterable(flat.values())))
        cells = {
            words(name): [Cell(figure(row[column]) if column in row else MISSING) for column in columns]
            for name, row in flat.items()
        }
        tables.append(Table(("", *columns), cells, words(key).capitalize()))
    return tables
