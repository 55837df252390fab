"""The table of a comparison as one HTML page with plots, that opens without a network."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from segue.compare.summary import TUNING, Summary
from segue.compare.table import AVERAGES, cost_rows, facts, leftovers, metric_rows, sentences
from segue.pipeline import measurement as measuring
from segue.report.evaluation_page import curves_section, slices_section
from segue.report.html import fact, figures, number, page, section, table
from segue.system.atomic import write_text, writing
from segue.training import epochs as records
from segue.version import __version__

_PLOTTED = ("HR@10", "MRR@10")


def write_page(path: Path, summary: Summary) -> None:
    """Write the page; raises ArtifactError when it cannot be written."""
    # Altair takes as long to import as the rest of Segue.
    from segue.report import charts

    rows = summary["models"]
    colour = charts.colours(list(rows))
    drawn: dict[str, Any] = {}
    sections = [section("Verdicts", _list(sentences(summary)))] if sentences(summary) else []
    if rows:
        for metric in _PLOTTED:
            found = {
                label: (row["metrics"][metric]["mean"], row["metrics"][metric]["sd"]) for label, row in rows.items()
            }
            drawn[f"{metric} over events, % ± standard deviation"] = charts.means(found, metric, colour)
        sections.append(section("Metrics, %", figures(drawn), *(_metrics(summary, average) for average in AVERAGES)))
        sections.append(_significance(summary))
        head, costs = cost_rows(summary)
        cells = {label: [f"<td>{escape(text)}</td>" for text in texts] for label, texts in costs.items()}
        sections.append(section("Costs and settings", table(["model", *head], cells)))
        first = {label: Path(row["runs"][0]) for label, row in rows.items()}
        slices, bars = slices_section({label: measuring.read_evaluation(run) for label, run in first.items()}, colour)
        learning, epochs = curves_section({label: _selection(run) for label, run in first.items()}, colour)
        sections += [slices, '<p class="note">Of the first seed.</p>']
        hint = '<p class="note">Of the best trial of each search; without a search, of the first seed.</p>'
        sections += [learning, hint] if epochs else []
        drawn |= {**bars, **epochs}
    if leftovers(summary):
        sections.append(section("Not in the table", _list(leftovers(summary))))
    text = page(f"Segue {__version__}: comparison", [facts(summary)], sections, drawn, charts.script())
    with writing(path.parent):
        write_text(path, text)


def _selection(run: Path) -> list[dict[str, Any]]:
    """The epochs among which the kept one was selected."""
    return records.read_epochs(run) or records.read_epochs(run.parent / TUNING)


def _metrics(summary: Summary, average: str) -> str:
    names, rows = metric_rows(summary, average)
    cells = {label: [number(*cell) for cell in found] for label, found in rows.items()}
    return table(["model", *names], cells, caption=AVERAGES[average].capitalize())


def _significance(summary: Summary) -> str:
    """Every difference that Holm's correction paid for."""
    head = [
        f"{summary['subject']} minus",
        "points",
        "95 % over users",
        "95 % over events",
        "t-test",
        "Wilcoxon",
        "significant",
    ]
    rows = {}
    for label, by_metric in summary["significance"].items():
        for name, found in by_metric.items():
            rows[f"{label}: {name}"] = [
                number(f"{100 * found['by_user']:+.2f}", False),
                *(number(_interval(found[key]), False) for key in ("by_user_interval", "by_event_interval")),
                *(number(f"{found[key]:.2g}", False) for key in ("t_test_holm", "wilcoxon_holm")),
                fact("yes" if found["significant"] else "no"),
            ]
    hint = "Means over users, seeds averaged first; p after Holm over this whole table; users drawn with replacement."
    return section("Significance", table(head, rows), f'<p class="note">{hint}</p>') if rows else ""


def _interval(bounds: list[float]) -> str:
    return f"[{100 * bounds[0]:+.2f}, {100 * bounds[1]:+.2f}]"


def _list(lines: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
