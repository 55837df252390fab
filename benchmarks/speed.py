"""Training and evaluation speed at Last.fm shape: events per second, the floor in the same run, and the ratio.

python benchmarks/speed.py [--steps 20]
python benchmarks/speed.py --memory CORPUS

The second command measures only what preset `memory` takes from the corpus to the trained model, and prints it as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import machine
from generate import generate
from segue.settings import Nested
from segue.system.limits import cores

GIB = 2**30
DIM = 128
WANTED = {("paper", 512): 2_000.0, ("paper", 2_048): 2_700.0}
SEGUE_SHARE = 0.6
EVALUATION_WANTED = 6_000.0
EVALUATED_SESSIONS = 20_000
MEMORY_WANTED = 1_000_000
WARM_UP = 2


class Enough(Exception):
    """Ends a measured run."""


def train_steps(corpus_folder: Path, overrides: Nested, steps: int) -> dict[str, float]:
    """Median events/s over `steps` whole training steps after two to warm up."""
    import torch

    from segue import models
    from segue.contract.encoder import SessionEncoder
    from segue.data.corpus import Part, load
    from segue.training.state import Progress
    from segue.training.trainer import Trainer

    torch.set_num_threads(cores())
    settings = models.with_preset(overrides)
    corpus = load(corpus_folder, (Part.TRAIN, Part.VALIDATION))
    model = models.build(settings)
    assert isinstance(model, SessionEncoder)
    model.fit(corpus)
    seen: list[Progress] = []

    def watch(at: Progress) -> None:
        seen.append(at)
        if len(seen) == steps + WARM_UP:
            raise Enough

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, corpus, settings.training, settings.evaluation, Path(folder), progress=watch)
        with contextlib.suppress(Enough):
            trainer.run()
    pairs = zip(seen[WARM_UP - 1 :], seen[WARM_UP:], strict=False)
    rates = [(later.events - earlier.events) / (later.seconds - earlier.seconds) for earlier, later in pairs]
    return {"events_per_second": statistics.median(rates), "items": corpus.n_items}


def evaluate_test(corpus_folder: Path, overrides: Nested, sessions: int, threads: int) -> dict[str, float]:
    """Events/s of a full ranking of test sessions drawn by seed, propagation over the whole graph included."""
    import numpy as np
    import torch

    from segue import models
    from segue.data.corpus import Part, load
    from segue.evaluation.full_ranking import evaluate

    torch.set_num_threads(threads)
    settings = models.with_preset(overrides)
    corpus = load(corpus_folder)
    model = models.build(settings)
    model.fit(corpus)
    test = np.flatnonzero(corpus.part == Part.TEST)
    drawn = np.random.default_rng(0).permutation(test)[:sessions]
    kept = np.sort(np.concatenate([np.flatnonzero(corpus.part != Part.TEST), drawn]))
    smaller = replace(corpus, sessions=corpus.sessions.take(kept), part=corpus.part[kept])
    began = time.perf_counter()
    measured = evaluate(model, smaller, Part.TEST)
    return {
        "events_per_second": len(measured.rank) / (time.perf_counter() - began),
        "scored_per_second": len(measured.rank) / measured.seconds,
        "items": corpus.n_items,
    }


def train_memory(corpus_folder: Path, threads: int) -> dict[str, float]:
    """Train preset `memory` as `segue train` does: read, count, all passes with their validation, write the model."""
    from segue.data.corpus import Part, load
    from segue.pipeline.fit import train
    from segue.pipeline.settings import settings_for_corpus

    overrides: Nested = {"model": {"preset": "memory"}, "training": {"threads": threads}}
    with tempfile.TemporaryDirectory() as folder:
        train(corpus_folder, Path(folder) / "model", settings_for_corpus(corpus_folder, overrides))
    corpus = load(corpus_folder, (Part.TRAIN, Part.VALIDATION))
    parts = {part.name.lower(): len(corpus.select(part).items) for part in (Part.TRAIN, Part.VALIDATION)}
    return {"items": corpus.n_items, **{f"{part}_events": events for part, events in parts.items()}}


def memory_run(corpus: Path) -> dict[str, Any]:
    """Measure preset `memory` from the corpus to the model; the corpus is read once more to count its events."""
    measured = machine.measure(train_memory, corpus, cores())
    return {
        "preset": "memory",
        **measured.value,
        "seconds": measured.seconds,
        "cpu_seconds": measured.cpu_seconds,
        "events_per_minute": 60 * measured.value["train_events"] / measured.seconds,
        "peak_gib": measured.peak_rss_bytes / GIB,
        "wanted": f"{MEMORY_WANTED:,} events/min",
    }


def training_runs(corpus: Path, steps: int, gflops: float) -> list[dict[str, Any]]:
    """Measure training for both presets at both batch sizes, each in a process of its own."""
    rows: list[dict[str, Any]] = []
    for batch_events in (512, 2_048):
        for preset in ("paper", "segue"):
            overrides: Nested = {"model": {"preset": preset, "dim": DIM}, "training": {"batch_events": batch_events}}
            measured = machine.measure(train_steps, corpus, overrides, steps)
            rate, items = measured.value["events_per_second"], measured.value["items"]
            wanted = WANTED.get((preset, batch_events))
            # The softmax alone: three matrix products of [events, dim] with [items, dim].
            floor = gflops * 1e9 / (6 * items * DIM)
            rows.append(
                {
                    "preset": preset,
                    "wanted": f"{wanted:,.0f} events/s" if wanted else f"{SEGUE_SHARE} × paper",
                    "batch_events": batch_events,
                    "events_per_second": rate,
                    "floor": floor,
                    "of_floor": rate / floor,
                    "peak_gib": measured.peak_rss_bytes / GIB,
                }
            )
            rows[-1]["of_paper"] = rate / rows[-2]["events_per_second"] if preset == "segue" else 1.0
    return rows


def evaluation_runs(corpus: Path, gflops: float) -> list[dict[str, Any]]:
    """Measure evaluation for both presets."""
    rows = []
    for preset in ("paper", "segue"):
        overrides: Nested = {"model": {"preset": preset, "dim": DIM}}
        measured = machine.measure(evaluate_test, corpus, overrides, EVALUATED_SESSIONS, cores())
        rate, items = measured.value["events_per_second"], measured.value["items"]
        floor = gflops * 1e9 / (2 * items * DIM)
        rows.append(
            {
                "preset": preset,
                "events_per_second": rate,
                "floor": floor,
                "of_floor": rate / floor,
                "peak_gib": measured.peak_rss_bytes / GIB,
                "wanted": f"{EVALUATION_WANTED:,.0f} events/s",
            }
        )
    return rows


def table(rows: list[dict[str, Any]], columns: dict[str, str]) -> str:
    """Rows as Markdown; `columns` gives each column's format."""
    lines = ["| " + " | ".join(name.replace("_", " ") for name in columns) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        lines.append("| " + " | ".join(format(row[name], form) for name, form in columns.items()) + " |")
    return "\n".join(lines)


def main() -> None:
    """Generate the log, prepare it, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--memory", type=Path, metavar="CORPUS", help="measure only preset memory, on this corpus")
    asked = parser.parse_args()
    if asked.memory:
        print(json.dumps(memory_run(asked.memory), indent=2))
        return
    steps = asked.steps
    from segue.data.preparation.prepare import prepare
    from segue.pipeline.settings import settings_for_log

    with tempfile.TemporaryDirectory(prefix="segue-bench-") as folder:
        log, corpus = Path(folder) / "log.parquet", Path(folder) / "corpus"
        generate(log)
        source, settings = settings_for_log(log, {})
        prepare(source, corpus, settings)
        floors = machine.floors()
        gflops = floors["matmul_f32_gflops"]
        training, evaluation = training_runs(corpus, steps, gflops), evaluation_runs(corpus, gflops)
        memory = memory_run(corpus)
    common = {"events_per_second": ",.0f", "floor": ",.0f", "of_floor": ".2f", "peak_gib": ".2f", "wanted": ""}
    counts = dict.fromkeys(("items", "train_events", "validation_events"), ",") | {
        "seconds": ".1f", "cpu_seconds": ".1f", "events_per_minute": ",.0f", "peak_gib": ".2f", "wanted": "",
    }  # fmt: skip
    text = "\n\n".join(
        [
            "# Speed of training and evaluation",
            "Floor: the matrix products of the softmax alone at the matrix speed measured in the same run, f32.",
            "## Training, whole steps, exact softmax, one layer",
            table(training, {"preset": "", "batch_events": ",", "of_paper": ".2f", **common}),
            "## Evaluation, full ranking",
            table(evaluation, {"preset": "", **common}),
            "## The counts alone, from the corpus to the trained model",
            table([memory], counts),
        ]
    )
    machine.write(
        "speed", {"training": training, "evaluation": evaluation, "memory": memory}, text + "\n", floor=floors
    )
    print(text)


if __name__ == "__main__":
    main()
