"""Put measured results into README.md, between its markers: the demo's own output, and the comparison tables.

make demo | tee demo.txt && python benchmarks/readme.py demo.txt
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import machine

README = machine.ROOT / "README.md"
PAGES = {"complete-journey": "Grocery baskets (Complete Journey)", "globo": "News clicks (Globo)"}
METRICS = ("HR@5", "HR@10", "HR@20", "MRR@20")


def table(page: str, title: str) -> str:
    """The comparison of one page, in percent, with where it was measured."""
    record = json.loads((machine.RESULTS / f"{page}.json").read_text(encoding="utf-8"))
    results, facts = record["results"]["results"], record["machine"]
    first = next(iter(results.values()))
    lines = [
        f"**[{title}](docs/benchmarks/{page}.md)**, {first['users']:,} users, {first['events']:,} test events;"
        f" {facts['date']}, commit {facts['commit']}:",
        "",
        "| % | " + " | ".join(METRICS) + " |",
        "|---" * (len(METRICS) + 1) + "|",
    ]
    for label, result in results.items():
        cells = " | ".join(f"{100 * result['metrics'][name]:.2f}" for name in METRICS)
        lines.append(f"| {label} | {cells} |")
    return "\n".join(lines)


def between(text: str, marker: str, content: str) -> str:
    """`text` with what stands between the comments `marker` and `/marker` replaced."""
    pattern = re.compile(rf"(<!-- {marker} -->\n).*(<!-- /{marker} -->)", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"README.md has no place for '{marker}'")
    return pattern.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)


def main() -> None:
    """Rewrite the tables, and the demo's output where a file with it is given."""
    text = README.read_text(encoding="utf-8")
    pages = [table(page, title) for page, title in PAGES.items() if (machine.RESULTS / f"{page}.json").exists()]
    text = between(text, "tables", "\n\n".join(pages))
    if len(sys.argv) > 1:
        facts = machine.facts()
        output = Path(sys.argv[1]).read_text(encoding="utf-8").strip()
        caption = f"What `make demo` printed on {facts['date']} (commit {facts['commit']}, {facts['cores']} cores):"
        text = between(text, "demo", f"{caption}\n\n```text\n{output}\n```")
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
