"""What reserved places for new items cost and gain: one trained model, measured with several shares.

    python benchmarks/discovery.py groceries MODEL --split validation

The model is one that was not trained on that part. Every row is ``segue evaluate MODEL --discover SHARE``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import machine
from segue.artifact.model_folder import load_model
from segue.data.corpus import Part
from segue.evaluation.measurement import Measurement, Metrics
from segue.pipeline.measurement import measure
from segue.report import markdown
from segue.report.numbers import percent
from segue.report.table import Cell, Table

SHARES = (0.1, 0.2, 0.3, 0.5)
_METRICS = ("HR@10", "HR@20", "MRR@10")
_KIND, _NEW = "target", "new"


def rows_of(measured: dict[float, Measurement]) -> dict[str, tuple[Metrics, Metrics]]:
    """The metrics of all events, and of those whose item is new to the user: first of plain lists, then by share."""
    plain = next(iter(measured.values()))
    rows = {"plain": (plain.metrics, plain.slices[_KIND][_NEW])}
    for share, found in measured.items():
        assert found.discovery is not None, "the measurement was asked for reserved places"
        rows[f"{share:g}"] = (found.discovery.metrics, found.discovery.slices[_KIND][_NEW])
    return rows


def page(name: str, command: str, plain: Measurement, rows: dict[str, tuple[Metrics, Metrics]]) -> str:
    """The Markdown page."""
    columns = (*(f"{metric}, all" for metric in _METRICS), *(f"{metric}, new items" for metric in _METRICS))
    cells = {
        label: [Cell(percent(metrics[metric])) for metrics in pair for metric in _METRICS]
        for label, pair in rows.items()
    }
    new = int(plain.slices[_KIND][_NEW]["events"])
    return f"""# Places for discovery: {name}

{plain.model}, {plain.split}, {plain.events:,} events, of which {new:,} are on an item new to the user; in %.
Made by `{command}`.

{markdown.table(Table(("share", *columns), cells))}
"""


def main() -> None:
    """Measure the model with every share, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="name of the data; the page is discovery-NAME in docs/benchmarks")
    parser.add_argument("model", type=Path)
    parser.add_argument("--corpus", type=Path, help="by default the one that the model was trained on")
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    chosen = parser.parse_args()
    artifact, part = load_model(chosen.model), Part[chosen.split.upper()]
    measured = {share: measure(artifact, chosen.corpus, part, discover=share).measurement() for share in SHARES}
    rows = rows_of(measured)
    command = f"benchmarks/discovery.py {chosen.name} MODEL --split {chosen.split}"
    text = page(chosen.name, command, next(iter(measured.values())), rows)
    results: dict[str, Any] = {label: {"all": dict(a), "new": dict(n)} for label, (a, n) in rows.items()}
    machine.write(f"discovery-{chosen.name}", results, text)
    print(text)


if __name__ == "__main__":
    main()
