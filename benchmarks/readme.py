"""Put measured results into README.md, between its markers: the demo's own output, and the comparisons.

make demo | tee demo.txt && python benchmarks/readme.py demo.txt
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import machine

README = machine.ROOT / "README.md"
PAGES = {"complete-journey": "Grocery baskets", "globo": "News clicks"}
METRICS = ("HR@10", "MRR@20")
MEMORY = "hg_gnn/memory"


def table(pages: dict[str, dict[str, Any]]) -> str:
    """The comparisons side by side, in percent, with where they were measured; best HR@10 of the first page on top."""
    summaries = {name: record["results"]["comparison"] for name, record in pages.items()}
    said = [_said(name, record) for name, record in pages.items()]
    heads = [f"{PAGES[name]}, {metric}" for name in summaries for metric in METRICS]
    lines = ["| % | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    first = next(iter(summaries.values()))["models"]
    for label in sorted(first, key=lambda label: -first[label]["metrics"][METRICS[0]]["mean"]):
        cells = [_cell(summary["models"], label, metric) for summary in summaries.values() for metric in METRICS]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    found = [f"- {PAGES[name]}: {text}" for name, summary in summaries.items() for text in _verdicts(summary)]
    return "\n".join([*said, "", *lines, "", "What the tests over users say (after Holm's correction):", "", *found])


def _verdicts(summary: dict[str, Any]) -> list[str]:
    """Of the first model against the best baseline by validation, and against the memory of counts alone."""
    asked = dict.fromkeys((summary["best_baseline"], MEMORY))
    return [f"{summary['verdicts'][label]}." for label in asked if label in summary["verdicts"]]


def _said(name: str, record: dict[str, Any]) -> str:
    summary, facts = record["results"]["comparison"], record["machine"]
    plan = summary["plan"]
    return (
        f"- [{PAGES[name]}](docs/benchmarks/{name}.md): {summary['users']:,} users, {summary['events']:,} test events;"
        f" {plan['minutes']:g} minutes on a core to tune each model; {facts['date']}, commit {facts['commit']}."
    )


def _cell(rows: dict[str, Any], label: str, metric: str) -> str:
    if label not in rows:
        return "not measured"
    best = max(row["metrics"][metric]["mean"] for row in rows.values())
    value = rows[label]["metrics"][metric]["mean"]
    text = f"{100 * value:.2f}"
    return f"**{text}**" if value == best else text


def between(text: str, marker: str, content: str) -> str:
    """`text` with what stands between the comments `marker` and `/marker` replaced."""
    pattern = re.compile(rf"(<!-- {marker} -->\n).*(<!-- /{marker} -->)", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"README.md has no place for '{marker}'")
    return pattern.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)


def main() -> None:
    """Rewrite the tables, and the demo's output where a file with it is given."""
    text = README.read_text(encoding="utf-8")
    pages = {name: json.loads((machine.RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in PAGES}
    text = between(text, "tables", table(pages))
    if len(sys.argv) > 1:
        facts = machine.facts()
        output = Path(sys.argv[1]).read_text(encoding="utf-8").strip()
        caption = f"What `make demo` printed on {facts['date']} (commit {facts['commit']}, {facts['cores']} cores):"
        text = between(text, "demo", f"{caption}\n\n```text\n{output}\n```")
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
