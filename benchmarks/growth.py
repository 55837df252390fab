"""How the steps of the preparation grow with the log, and what that makes of ten billion clicks on a cluster.

python benchmarks/growth.py [--millions 3 --millions 30 --millions 100 | --page]

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
HELD = 3  # how often a task is taken to hold its part of a table while it sorts it
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


def size_at(step: dict[str, Any], factor: float) -> float:
    """Bytes of a table in a log that is so many times as large."""
    return float(step["rows"] * step["width"] * (1 if step["table"] in OF_ITEMS else factor))


def plan_table(run: dict[str, Any]) -> str:
    """Rows, bytes and tasks of each step at the target, in proportion to the largest run; items do not grow."""
    factor = TARGET / run["clicks"]
    lines = ["| step | table | rows per click | rows | bytes a row | GB | tasks |", "|---|---|---|---|---|---|---|"]
    for number, step in enumerate(run["steps"], 1):
        size = size_at(step, factor)
        rows = size / step["width"]
        lines.append(
            f"| {number} | `{step['table']}` | {step['rows'] / run['clicks']:.3g} | {rows:,.0f} "
            f"| {step['width']:.0f} | {size / 1e9:,.1f} | {math.ceil(size / PARTITION):,} |"
        )
    return "\n".join(lines)


def page(runs: dict[int, dict[str, Any]]) -> str:
    """The results as Markdown."""
    largest = runs[max(runs)]
    factor = TARGET / largest["clicks"]
    steps = [size_at(step, factor) for step in largest["steps"]]
    biggest, corpus = max(steps), largest["corpus_bytes"] * factor
    hours = largest["cpu_seconds"] * factor / 3_600
    task, tasks = PARTITION // 2**20, math.ceil(biggest / PARTITION)
    disk = (2 * biggest + corpus) / 1e9
    held = f"{HELD * PARTITION / GIB:.2f} GiB"
    return f"""# Growth of the preparation

Synthetic clicks of Last.fm's shape (`benchmarks/generate.py`), prepared by DuckDB under a limit of {CAP}. A larger log
has more users and sessions, of the same items. Growth is the exponent between a size and the one above it in the table:
1 means that the processor's time grows with the clicks, 2 with their square; tables that no longer fit into the limit
are written to disk and read again, which takes more. The runs were not made at one time: what else ran differed.

{growth_table(runs)}

## Ten billion clicks

Worked out, not measured: every row of the largest run ({largest["clicks"]:,} clicks) times {factor:,.0f}; tables of
items stay as they are. Bytes are uncompressed.

| what | size | because |
|---|---|---|
| the largest table | {biggest / 1e9:,.0f} GB | the table below |
| `spark.sql.shuffle.partitions` | {tasks:,} | {task} MiB of the largest table a task |
| memory of a task | {held} | assumed: a sort holds its part {HELD} times |
| disk of the scratch folder | {disk:,.0f} GB | two versions of the largest table, and the corpus |
| written over the run | {sum(steps) / 1e9:,.0f} GB | all steps together |
| the corpus | {corpus / 1e9:,.0f} GB | in proportion to the measured one |
| processor hours of DuckDB | {hours:,.1f} | in proportion; Spark's are not measured |

{plan_table(largest)}
"""


def main() -> None:
    """Measure the sizes of the command line, and keep the earlier results of the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=int, action="append", choices=MILLIONS)
    parser.add_argument("--page", action="store_true", help="only write the page anew, from the stored results")
    asked = parser.parse_args()
    chosen = () if asked.page else asked.millions or MILLIONS
    stored = machine.RESULTS / "growth.json"
    record = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else None
    runs = {run["millions"]: run for run in record["results"]["runs"]} if record else {}
    if asked.page and record:
        machine.write("growth", record["results"], page(runs), measured_on=record["machine"])
    for millions in chosen:
        with tempfile.TemporaryDirectory(prefix="segue-bench-") as folder:
            runs[millions] = bench(millions, Path(folder))
        ordered = {number: runs[number] for number in sorted(runs)}
        machine.write("growth", {"runs": list(ordered.values())}, page(ordered))
        print(growth_table(ordered))


if __name__ == "__main__":
    main()
