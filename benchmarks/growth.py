"""How the steps of the preparation grow with the log, and what that makes of ten billion clicks on a cluster.

python benchmarks/growth.py [--millions 3 --millions 30 --millions 100]

Sizes that are left out are read from the results of an earlier run, or written as not measured.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import machine
from generate import generate

GIB = 2**30
MILLIONS = (3, 10, 30, 100)
CAP = "4GiB"
TARGET = 10_000_000_000
PARTITION = 128 * 2**20  # bytes of a table that one task of Spark holds comfortably
PER_SCALE = 3.15  # million clicks of generate.py at scale 1
OF_ITEMS = ("item_codes", "vocabulary")


def prepare_steps(log: Path, corpus: Path) -> dict[str, Any]:
    """The measured part: Parquet log → corpus, with the size of every table that is made."""
    from segue.data.preparation.prepare import prepare
    from segue.data.tables import recorded
    from segue.pipeline.settings import settings_for_log

    source, settings = settings_for_log(log, {"preparation": {"memory_limit": CAP}})
    with recorded() as made:
        manifest = prepare(source, corpus, settings)
    steps = [{"table": each.name, "rows": each.rows, "width": each.width, "seconds": each.seconds} for each in made]
    written = sum(file.stat().st_size for file in corpus.iterdir())
    return {"steps": steps, "sizes": manifest["sizes"], "corpus_bytes": written}


def bench(millions: int, folder: Path) -> dict[str, Any]:
    """Measure one size in a process of its own."""
    log = folder / f"log-{millions}.parquet"
    made = generate(log, scale=max(1, round(millions / PER_SCALE)))
    measured = machine.measure(prepare_steps, log, folder / f"corpus-{millions}")
    log_bytes = log.stat().st_size
    log.unlink()
    return {
        "millions": millions,
        "clicks": int(made["rows"]),
        "users": int(made["users"]),
        "log_bytes": log_bytes,
        "seconds": measured.seconds,
        "cpu_seconds": measured.cpu_seconds,
        "peak_gib": measured.peak_rss_bytes / GIB,
        **measured.value,
    }


def growth_table(runs: dict[int, dict[str, Any]]) -> str:
    """What was measured, and the exponent between neighbouring sizes: 1 is growth in proportion."""
    lines = [
        "| clicks | log MB | prepare s | CPU s | CPU s per million | peak GiB | corpus MB | growth |",
        "|---|---|---|---|---|---|---|---|",
    ]
    before: dict[str, Any] | None = None
    for millions in MILLIONS:
        run = runs.get(millions)
        if run is None:
            lines.append(f"| about {millions} million | not measured | | | | | | |")
            continue
        growth = ""
        if before is not None:
            exponent = math.log(run["cpu_seconds"] / before["cpu_seconds"]) / math.log(run["clicks"] / before["clicks"])
            growth = f"{exponent:.2f}"
        lines.append(
            f"| {run['clicks']:,} | {run['log_bytes'] / 1e6:.0f} | {run['seconds']:.1f} "
            f"| {run['cpu_seconds']:.1f} | {run['cpu_seconds'] / run['clicks'] * 1e6:.1f} | {run['peak_gib']:.2f} "
            f"| {run['corpus_bytes'] / 1e6:.0f} | {growth} |"
        )
        before = run
    return "\n".join(lines)


def plan_table(run: dict[str, Any]) -> str:
    """Rows, bytes and tasks of each step at the target, in proportion to the largest run; items do not grow."""
    factor = TARGET / run["clicks"]
    lines = ["| step | table | rows per click | rows | bytes a row | GB | tasks |", "|---|---|---|---|---|---|---|"]
    for number, step in enumerate(run["steps"], 1):
        rows = step["rows"] * (1 if step["table"] in OF_ITEMS else factor)
        size = rows * step["width"]
        lines.append(
            f"| {number} | `{step['table']}` | {step['rows'] / run['clicks']:.3g} | {rows:,.0f} | {step['width']:.0f} "
            f"| {size / 1e9:,.1f} | {math.ceil(size / PARTITION):,} |"
        )
    return "\n".join(lines)


def page(runs: dict[int, dict[str, Any]]) -> str:
    """The results as Markdown."""
    largest = runs[max(runs)]
    factor = TARGET / largest["clicks"]
    steps = [step["rows"] * step["width"] for step in largest["steps"]]
    return f"""# Growth of the preparation

Synthetic clicks of Last.fm's shape (`benchmarks/generate.py`), prepared by DuckDB under a limit of {CAP}. A larger log
has more users and sessions, of the same items. Growth is the exponent between a size and the one above it in the table:
1 means that the processor's time grows with the clicks, 2 with their square.

{growth_table(runs)}

## Ten billion clicks

Worked out, not measured: every row of the largest run ({largest["clicks"]:,} clicks) times {factor:,.0f}; tables of
items stay as they are. Bytes are uncompressed. A task is {PARTITION // 2**20} MiB of a table. The largest table has
{max(steps) * factor / 1e9:,.0f} GB; all steps together write {sum(steps) * factor / 1e9:,.0f} GB, of which at most the
two versions of one table and the small ones beside it lie on disk at once. The corpus takes
{largest["corpus_bytes"] * factor / 1e9:,.0f} GB.

{plan_table(largest)}
"""


def main() -> None:
    """Measure the sizes of the command line, and keep the earlier results of the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=int, action="append", choices=MILLIONS)
    chosen = parser.parse_args().millions or MILLIONS
    stored = machine.RESULTS / "growth.json"
    earlier = json.loads(stored.read_text(encoding="utf-8"))["results"]["runs"] if stored.exists() else []
    runs = {run["millions"]: run for run in earlier}
    for millions in chosen:
        with tempfile.TemporaryDirectory(prefix="segue-bench-") as folder:
            runs[millions] = bench(millions, Path(folder))
        ordered = {number: runs[number] for number in sorted(runs)}
        machine.write("growth", {"runs": list(ordered.values())}, page(ordered))
        print(growth_table(ordered))


if __name__ == "__main__":
    main()
