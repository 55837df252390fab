"""Results for people: one HTML page that opens without a network, and a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from segue.errors import UserMistake
from segue.evaluation.slices import SLICES
from segue.report.html import fact, figures, legend, number, page, section, table
from segue.system.atomic import write_text, writing

Evaluations = Mapping[str, Mapping[str, Any]]

SLICE_METRIC = "HR@10"

_AVERAGES = {
    "metrics": "averaged over events",
    "metrics_by_session": "averaged over sessions",
    "metrics_by_user": "averaged over users",
}
_SLICE_TITLES = {
    "prefix_length": "Items in the session so far",
    "target": "Kind of the next item",
    "popularity": "Popularity of the next item (thirds of the train events)",
    "history": "Train sessions of the user",
}


def write_report(
    path: Path,
    *,
    title: str,
    evaluations: dict[str, dict[str, Any]],
    curves: dict[str, list[dict[str, Any]]],
    statistics: dict[str, Any],
    notes: list[str],
) -> None:
    """One self-contained HTML file: metrics, slices, learning curves, statistics.

    Args:
        evaluations: label → the JSON shape of an evaluation, at least one; they must be of the same events.
        curves: label → records of ``metrics.jsonl``; may be empty, or lack labels.
        statistics: facts about data and graph, possibly nested; a table of tables becomes a table of its own.
        notes: sentences, shown under the title.

    Raises UserMistake when there is no evaluation or they are of different events, ArtifactError when the file cannot
    be written.
    """
    # Altair takes as long to import as the rest of Segue, and most commands write no report.
    from segue.report import charts

    check_same_events(evaluations)
    colour = charts.colours(list(dict.fromkeys(chain(evaluations, curves))))
    slices, bars = slices_section(evaluations, colour)
    sections = [_metrics_section(evaluations), slices]
    learning, epochs = curves_section(curves, colour)
    if epochs:
        sections.append(learning)
    if statistics:
        sections.append(section("Data and graph", *_statistics_tables(statistics)))
    text = page(title, [common_facts(evaluations), *notes], sections, {**bars, **epochs}, charts.script())
    with writing(path.parent):
        write_text(path, text)


def slices_section(evaluations: Evaluations, colour: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """Where each model works: HTML, and its charts by title."""
    bars = _slice_charts(evaluations, colour)
    title = f"Where it works: {SLICE_METRIC}, %"
    return section(title, legend(colour), figures(bars), _slice_table(evaluations)), bars


def curves_section(curves: Mapping[str, Any], colour: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """Loss and validation by epoch: HTML, and its charts by title; none where nothing was trained."""
    from segue.report import charts

    epochs = charts.learning_curves(curves, colour)
    hint = '<p class="note">The large point is the epoch that was kept.</p>'
    trained = {label: colour[label] for label, records in curves.items() if records}
    return section("Learning curves", legend(trained), figures(epochs), hint), epochs


def markdown_table(evaluations: Evaluations) -> str:
    """A row for each label, a column for each metric, in percent, averaged over events; the best of a column is bold.

    Raises UserMistake when there is no evaluation or they are of different events.
    """
    check_same_events(evaluations)
    names, rows = _metric_rows(evaluations, "metrics")
    lines = ["| model | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for label, cells in rows.items():
        text = [f"**{value}**" if best else value for value, best in cells]
        lines.append("| " + " | ".join([label.replace("|", "\\|"), *text]) + " |")
    return "\n".join(lines) + "\n"


def check_same_events(evaluations: Evaluations) -> None:
    """Raise UserMistake when there is no evaluation or they are of different events."""
    if not evaluations:
        raise UserMistake("there is no evaluation to show; name at least one")
    first, *others = evaluations
    for label in others:
        if evaluations[label]["event_hash"] != evaluations[first]["event_hash"]:
            raise UserMistake(
                f"'{first}' and '{label}' were measured on different events and cannot share a table;"
                " evaluate both on the same corpus and split"
            )


def common_facts(evaluations: Evaluations) -> str:
    """What all evaluations of the page have in common."""
    result = _first(evaluations)
    masked = "; items of the running session are no candidates" if result["masked"] else ""
    return (
        f"{result['events']:,} {result['split']} events in {result['sessions']:,} sessions of {result['users']:,} users"
        f" (split {result['protocol']}, history {result['history']}{masked})."
        " Every item is ranked; ties count against the model."
    )


def _first(evaluations: Evaluations) -> Mapping[str, Any]:
    return next(iter(evaluations.values()))


def _metrics_section(evaluations: Evaluations) -> str:
    tables = {heading: _metric_table(evaluations, key) for key, heading in _AVERAGES.items()}
    (_, headline), *others = tables.items()
    details = "".join(f"<details><summary>{heading}</summary>{body}</details>" for heading, body in others)
    return section("Metrics, %, averaged over events", headline, details)


def _metric_table(evaluations: Evaluations, key: str) -> str:
    names, rows = _metric_rows(evaluations, key)
    return table(["model", *names], {label: [number(*cell) for cell in cells] for label, cells in rows.items()})


def _metric_rows(evaluations: Evaluations, key: str) -> tuple[list[str], dict[str, list[tuple[str, bool]]]]:
    """Names of the metrics, and for each label its values in percent and whether each is the best of its column."""
    names = list(_first(evaluations)[key])
    columns = [marked([result[key][name] for result in evaluations.values()]) for name in names]
    return names, {label: [column[place] for column in columns] for place, label in enumerate(evaluations)}


def marked(values: Sequence[float | None]) -> list[tuple[str, bool]]:
    """Fractions in percent, each with whether none shown is larger; a column of one has no best."""
    texts = [None if value is None else f"{100 * value:.2f}" for value in values]
    present = [float(text) for text in texts if text is not None]
    return [
        ("–", False) if text is None else (text, len(present) > 1 and float(text) == max(present)) for text in texts
    ]


def _slice_events(evaluations: Evaluations, dimension: str) -> dict[str, int]:
    """The slices that hold events, in their own order, with the number of these."""
    found = [result["slices"][dimension] for result in evaluations.values()]
    sizes = {name: values["events"] for slices in found for name, values in slices.items()}
    return {name: sizes[name] for name in SLICES[dimension] if name in sizes}


def _slice_charts(evaluations: Evaluations, colour: Mapping[str, str]) -> dict[str, Any]:
    from segue.report import charts

    drawn = {}
    for dimension, heading in _SLICE_TITLES.items():
        slices = {label: result["slices"][dimension] for label, result in evaluations.items()}
        sizes = _slice_events(evaluations, dimension)
        drawn[heading] = charts.slice_bars(slices, SLICE_METRIC, colour, sizes)
    return drawn


def _slice_table(evaluations: Evaluations) -> str:
    rows = {}
    for dimension, heading in _SLICE_TITLES.items():
        for name, events in _slice_events(evaluations, dimension).items():
            found = [result["slices"][dimension].get(name, {}) for result in evaluations.values()]
            cells = marked([values.get(SLICE_METRIC) for values in found])
            rows[f"{heading}: {name}"] = [number(f"{events:,}", False), *(number(*cell) for cell in cells)]
    body = table(["slice", "events", *evaluations], rows)
    return f"<details><summary>the same as a table</summary>{body}</details>"


def _statistics_tables(statistics: Mapping[str, Any]) -> list[str]:
    """A table of single facts, then one for each table of tables, such as the relations of a graph."""
    nested = {key: value for key, value in statistics.items() if is_table(value)}
    facts = flattened({key: value for key, value in statistics.items() if key not in nested})
    tables = [table([], {name: [fact(value)] for name, value in facts.items()})] if facts else []
    for key, rows in nested.items():
        flat = {name: flattened(row) for name, row in rows.items()}
        columns = list(dict.fromkeys(chain.from_iterable(flat.values())))
        cells = {_words(name): [fact(row.get(column, "–")) for column in columns] for name, row in flat.items()}
        tables.append(table(["", *columns], cells, caption=_words(key).capitalize()))
    return tables


def is_table(value: Any) -> bool:
    """Whether a fact is a table of tables, such as the relations of a graph."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(row, Mapping) for row in value.values())


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested facts with their path as name."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix} {_words(key)}".strip()
        flat |= flattened(value, name) if isinstance(value, Mapping) else {name: value}
    return flat


def _words(name: str) -> str:
    return str(name).replace("_", " ")
