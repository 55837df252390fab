"""Preparation and graph construction at Last.fm shape, and at ten times that under a memory cap.

python benchmarks/preparation.py [--scale 10]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
from generate import generate

GIB = 2**30
CAPS = {1: "1GiB", 10: "4GiB"}
WANTED = {1: {"seconds": 60.0, "peak_gib": 2.0}, 10: {"peak_gib": 5.0}}


def prepare_and_build(log: Path, corpus_folder: Path, cap: str) -> dict[str, Any]:
    """The measured part: Parquet log → corpus on disk → edge tables."""
    from segue.data.corpus import Part, load
    from segue.data.preparation.prepare import prepare
    from segue.graph.relations import build_relations
    from segue.pipeline.settings import settings_for_log
    from segue.settings import GraphSettings, PreparationSettings

    began = time.perf_counter()
    source, settings = settings_for_log(log, {"preparation": {"memory_limit": cap}})
    prepare(source, corpus_folder, settings)
    prepared = time.perf_counter()
    corpus = load(corpus_folder, (Part.TRAIN, Part.VALIDATION))
    tables = build_relations(
        corpus.train,
        corpus.n_items,
        corpus.n_users,
        GraphSettings(),
        preparation=PreparationSettings(memory_limit=cap),
    )
    return {
        "prepare_seconds": prepared - began,
        "graph_seconds": time.perf_counter() - prepared,
        "train_sessions": len(corpus.train),
        "edges": {name: len(table.ids) for name, table in tables.edges.items()},
    }


def bench(scale: int, folder: Path) -> dict[str, Any]:
    """Measure one scale in a process of its own."""
    log = folder / f"log-{scale}.parquet"
    made = generate(log, scale=scale)
    measured = machine.measure(prepare_and_build, log, folder / f"corpus-{scale}", CAPS[scale])
    return {
        "scale": scale,
        "rows": int(made["rows"]),
        "cap": CAPS[scale],
        "seconds": measured.seconds,
        "cpu_seconds": measured.cpu_seconds,
        "peak_gib": measured.peak_rss_bytes / GIB,
        "wanted": WANTED[scale],
        **measured.value,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The results as Markdown."""
    lines = [
        "| rows | cap | prepare s | graph s | together s | peak GiB | wanted |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        wanted = ", ".join(f"{name.replace('_', ' ')} ≤ {bound:g}" for name, bound in row["wanted"].items())
        lines.append(
            f"| {row['rows']:,} | {row['cap']} | {row['prepare_seconds']:.1f} | {row['graph_seconds']:.1f}"
            f" | {row['seconds']:.1f} | {row['peak_gib']:.2f} | {wanted} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure both scales, or the scale of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, action="append", choices=sorted(CAPS))
    chosen = parser.parse_args().scale or sorted(CAPS)
    with tempfile.TemporaryDirectory(prefix="segue-bench-") as folder:
        rows = [bench(scale, Path(folder)) for scale in chosen]
    text = f"# Preparation and graph construction\n\nFrom a Parquet log to the five relations.\n\n{table(rows)}\n"
    machine.write("preparation", {"runs": rows}, text)
    print(table(rows))


if __name__ == "__main__":
    main()
