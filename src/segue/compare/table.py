"""The table of a comparison for people: cells that HTML and Markdown share, and the Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segue.compare.summary import Summary
from segue.report.evaluation_page import marked

Cell = tuple[str, bool]
"""A text, and whether it is the best of its column."""
AVERAGES = {"metrics": "averaged over events", "metrics_by_user": "averaged over users"}


def metric_rows(summary: Summary, average: str) -> tuple[list[str], dict[str, list[Cell]]]:
    """Names of the columns, and for each model its means in percent, with ± one standard deviation over seeds.

    Coverage is no average over anything; it stands beside the headline.
    """
    headline = average == next(iter(AVERAGES))
    found = {
        label: {**row[average], **(row["coverage"] if headline else {})} for label, row in summary["models"].items()
    }
    names = list(next(iter(found.values()), {}))
    columns = [_column([row[name] for row in found.values()]) for name in names]
    return names, {label: [column[place] for column in columns] for place, label in enumerate(found)}


def cost_rows(summary: Summary) -> tuple[list[str], dict[str, list[str]]]:
    """What each model took, and the settings that were found for it."""
    head = [
        "seeds",
        "parameters",
        "tuning s",
        "trials",
        "training s",
        "events played",
        "test ms/event",
        "validation HR@10",
        "settings found",
    ]
    rows = {}
    for label, row in summary["models"].items():
        seconds = row["seconds"]
        found = ", ".join(f"{key.partition('.')[2]} {_short(value)}" for key, value in row["tuned"].items())
        rows[label] = [
            str(len(row["runs"])),
            f"{row['parameters']:,}" if row["parameters"] else "–",
            f"{seconds['tuning']:,.0f}",
            str(row["trials"]),
            f"{seconds['training']['mean']:,.1f}",
            f"{row['trained_events']:,}" if row["trained_events"] else "–",
            f"{1000 * seconds['inference']['mean'] / summary['events']:.3f}",
            f"{100 * row['validation']:.2f}",
            found or "as preset",
        ]
    return head, rows


def sentences(summary: Summary) -> list[str]:
    """The verdicts, the best baseline first."""
    best = summary["best_baseline"]
    if best is None:
        return []
    rest = [text for label, text in summary["verdicts"].items() if label != best]
    return [f"Best baseline by validation: {best}.", summary["verdicts"][best], *rest]


def leftovers(summary: Summary) -> list[str]:
    """Who is missing from the table, and why."""
    failed = [f"{label}: left out, {reason}" for label, reason in summary["failed"].items()]
    unfinished = [
        f"{label}: not finished, {at['seeds']} of {at['of']} seeds" for label, at in summary["unfinished"].items()
    ]
    return failed + unfinished


def facts(summary: Summary) -> str:
    """What all rows have in common."""
    if "events" not in summary:
        return "No model is finished yet."
    plan = summary["plan"]
    tuned = (
        f"every model had {plan['minutes']:g} minutes and {plan['trials']} trials at most ({plan['search']})"
        " to be tuned on validation"
        if plan["minutes"]
        else "no model was tuned"
    )
    masked = "; items of the running session are no candidates" if summary["masked"] else ""
    return (
        f"{summary['events']:,} {summary['split']} events in {summary['sessions']:,} sessions of {summary['users']:,}"
        f" users (split {summary['protocol']}, history {summary['history']}{masked}); every item is ranked, ties count"
        f" against the model; {tuned}, then was fitted on train + validation; % ± standard deviation over seeds."
    )


def markdown(summary: Summary) -> str:
    """All of it as Markdown; the best of a column is bold."""
    parts = [facts(summary)]
    if summary["models"]:
        for average, heading in AVERAGES.items():
            names, rows = metric_rows(summary, average)
            texts = {label: [f"**{text}**" if best else text for text, best in cells] for label, cells in rows.items()}
            parts.append(f"{heading.capitalize()}:\n\n{_table(names, texts)}")
        parts.append(_table(*cost_rows(summary)))
    parts += ["\n".join(f"- {text}" for text in lines) for lines in (sentences(summary), leftovers(summary)) if lines]
    return "\n\n".join(parts) + "\n"


def _table(names: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    lines = ["| model | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [
        "| " + " | ".join(text.replace("|", "\\|") for text in [label, *cells]) + " |" for label, cells in rows.items()
    ]
    return "\n".join(lines)


def _column(values: Sequence[Mapping[str, float | None]]) -> list[Cell]:
    best = marked([value["mean"] for value in values])
    return [
        (text if value["sd"] is None else f"{text} ± {100 * value['sd']:.2f}", is_best)
        for value, (text, is_best) in zip(values, best, strict=True)
    ]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
