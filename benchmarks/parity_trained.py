"""Trained session models on a public session set, beside the figures of the literature.

    python benchmarks/parity_trained.py FOLDER [--set tmall] [--models narm sr_gnn sasrec] [--minutes 20]

FOLDER holds the sets of ``parity.py``; its page shows the results. The last tenth of the train sessions chooses the
number of epochs; then the model is fitted again on all of them. What is done is kept, model by model, so that an
interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import machine
from parity import METRICS, check_sizes, read
from segue import models
from segue.contract.encoder import SessionEncoder
from segue.data.corpus import Corpus, Part
from segue.evaluation.full_ranking import evaluate
from segue.evaluation.metrics import averages
from segue.settings import Nested, Settings
from segue.system.limits import cores
from segue.training.trainer import Trainer

PAGE = "parity-trained"
VALIDATION = 0.1
# HR@20, MRR@20. Recalled from the papers and not read again: a mark to aim at, nothing more exact.
PUBLISHED: dict[str, dict[str, tuple[float, float]]] = {
    "tmall": {"narm": (23.30, 10.70), "sr_gnn": (27.57, 13.72), "gce_gnn": (33.42, 15.42)},
    "diginetica": {"narm": (49.70, 16.17), "sr_gnn": (50.73, 17.59), "gce_gnn": (54.22, 19.04)},
    "nowplaying": {"narm": (18.59, 6.93), "sr_gnn": (18.87, 7.47), "gce_gnn": (22.37, 8.40)},
}


ASKED = ("gru4rec", "narm", "sr_gnn", "lessr", "gce_gnn", "sasrec")
"""Models of sessions alone: the sets have no users."""
AS_PUBLISHED: dict[str, dict[str, int]] = {"narm": {"dim": 100}, "sasrec": {"dim": 100, "heads": 2}}
"""The width of the tables that the figures are recalled from, where a preset has another."""


def settings_of(name: str, minutes: float, threads: int) -> Settings:
    """The preset of the published numbers where a model has one, at their width."""
    presets = models.load(name).presets
    preset = next((p for p in ("official", "session") if p in presets), None)
    overrides: Nested = {
        "model": {"name": name, **AS_PUBLISHED.get(name, {})},
        "training": {"max_minutes": minutes, "threads": threads},
    }
    if preset is not None:
        overrides["model"]["preset"] = preset
    return models.with_preset(overrides)


def measure(corpus: Corpus, settings: Settings) -> dict[str, Any]:
    """Choose the epochs on validation, fit again on all train sessions, rank every test event."""
    selecting = np.flatnonzero(corpus.part == Part.TRAIN)
    part = corpus.part.copy()
    part[selecting[int(len(selecting) * (1 - VALIDATION)) :]] = Part.VALIDATION
    training = replace(corpus, part=part)
    kept = np.flatnonzero(part != Part.TEST)
    training = replace(training, sessions=corpus.sessions.take(kept), part=part[kept])
    plan, chosen = _trained(training, settings, None)[1], time.perf_counter()
    whole = training.with_train([Part.TRAIN, Part.VALIDATION])
    model, _ = _trained(whole, settings, plan)
    refitted = time.perf_counter()
    found = averages(evaluate(model, corpus, Part.TEST, mask_session=False).rank)
    return {
        "metrics": {metric: 100 * found[metric] for metric in METRICS},
        "epochs": len(plan),
        "refit_seconds": refitted - chosen,
        "evaluation_seconds": time.perf_counter() - refitted,
        "settings": settings.model_dump(mode="json", include={"model", "training"}),
    }


def _trained(corpus: Corpus, settings: Settings, plan: Any) -> tuple[SessionEncoder, Any]:
    import torch

    torch.manual_seed(settings.training.seed)
    model = models.build(settings)
    assert isinstance(model, SessionEncoder)
    model.fit(corpus)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, corpus, settings.training, settings.evaluation, Path(folder), plan=plan)
        return model, trainer.run()


def main() -> int:
    """Measure the chosen models that have no result yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", dest="data", choices=sorted(PUBLISHED), default="tmall")
    parser.add_argument("--models", nargs="+", choices=ASKED, default=["narm", "sr_gnn", "sasrec"])
    parser.add_argument("--minutes", type=float, default=20.0, help="minutes of training steps to choose the epochs in")
    parser.add_argument("--threads", type=int, default=cores())
    chosen = parser.parse_args()
    kept = machine.RESULTS / f"{PAGE}.json"
    results = json.loads(kept.read_text(encoding="utf-8"))["results"] if kept.exists() else {}
    corpus = read(chosen.folder / chosen.data)
    check_sizes(chosen.data, corpus)
    for name in chosen.models:
        if name in results.get(chosen.data, {}):
            continue
        began = time.perf_counter()
        row = measure(corpus, settings_of(name, chosen.minutes, chosen.threads))
        row |= {"seconds": time.perf_counter() - began, "commit": machine.commit()}
        results.setdefault(chosen.data, {})[name] = row
        machine.write(PAGE, results, table(results))
        print(chosen.data, name, row["metrics"], file=sys.stderr)
    print(table(results))
    return 0


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown: each model's figures over the published ones."""
    lines = [
        "# Trained models on the public session sets",
        "",
        "All items are candidates, ties count against the model; in percent. Epochs chosen on the last tenth of the "
        "train sessions, then fitted again on all. Published figures are recalled, not read again, and were chosen on "
        "the test set by their authors. Made by `python benchmarks/parity_trained.py FOLDER --set SET --models MODEL`.",
        "",
        f"| set | model | {' | '.join(METRICS)} | published HR@20, MRR@20"
        " | settings | epochs | minutes in all | commit |",
        f"|---|---|{'---:|' * len(METRICS)}---|---|---:|---:|---|",
    ]
    for data in PUBLISHED:
        for name in ASKED:
            published = PUBLISHED[data].get(name)
            known = f"{published[0]:.2f}, {published[1]:.2f} (recalled)" if published else "none known"
            row = results.get(data, {}).get(name)
            if row is None:
                lines.append(f"| {data} | {name} | not run |{' |' * (len(METRICS) - 1)} {known} | | | | |")
                continue
            ours = " | ".join(f"{row['metrics'][metric]:.2f}" for metric in METRICS)
            model, training = row["settings"]["model"], row["settings"]["training"]
            facts = f"dim {_dim(model)}, batch {training['batch_events']}, learning rate {training['learning_rate']:g}"
            lines.append(
                f"| {data} | {name}/{model['preset']} | {ours} | {known} | {facts}, {training['schedule']} |"
                f" {row['epochs']} | {row['seconds'] / 60:.0f} | {row['commit']} |"
            )
    return "\n".join(lines)


def _dim(model: dict[str, Any]) -> int:
    """The width of a model: its setting, else the model's own default."""
    return int(model.get("dim", models.load(model["name"]).Config.model_fields["dim"].default))


if __name__ == "__main__":
    sys.exit(main())
