"""Runs with settings as they are given: trained alike, measured on identical events, finished ones not repeated."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segue.artifact.model_folder import RUN_NOTE
from segue.artifact.partial_run import partial_of
from segue.errors import ArtifactError, UserMistake
from segue.pipeline import fit as pipeline
from segue.pipeline import measurement as measuring
from segue.pipeline.fit import Options
from segue.settings import Nested
from segue.training import epochs as records
from segue.training.trainer import EpochPlan, Progress

logger = logging.getLogger("segue")

COUNTING: dict[str, Nested] = {
    "popularity": {"model": {"name": "popularity", "preset": "global"}},
    "recent popularity": {"model": {"name": "popularity", "preset": "recent"}},
    "session popularity": {"model": {"name": "popularity", "preset": "session"}},
    "personal popularity": {"model": {"name": "popularity", "preset": "personal"}},
    "Markov": {"model": {"name": "markov"}},
    "Item-KNN": {"model": {"name": "item_knn"}},
}
"""The counting methods that every table of ours shows."""

NETWORKS: dict[str, Nested] = {
    "HG-GNN segue": {"model": {"name": "hg_gnn", "preset": "segue"}},
    "HG-GNN paper": {"model": {"name": "hg_gnn", "preset": "paper"}},
}


def compare(
    corpus: Path,
    runs: Mapping[str, Nested],
    out: Path,
    *,
    refit: bool = True,
    epochs: Mapping[str, Sequence[EpochPlan]] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Train and measure every run on the test part of `corpus`; a run that is finished under `out` is not repeated.

    Args:
        corpus: a prepared corpus.
        runs: label → settings.
        out: a folder; each run becomes a model in it.
        refit: for every model alike, so that refitted rows are never compared with others.
        epochs: label → what the refit plays, where a search has chosen it already.

    Returns label → the JSON shape of an evaluation, with the label as its "model" and, as "training", what
    ``records.training_facts`` says.
    """
    results: dict[str, dict[str, Any]] = {}
    for label, overrides in runs.items():
        folder = out / folder_name(label)
        if not (folder / "evaluation" / "test.json").exists():
            plan = epochs.get(label) if epochs else None
            train_once(corpus, folder, overrides, refit=refit, plan=plan, progress=progress)
            measuring.write_evaluation(folder, measuring.evaluate_model(folder, corpus))
        check_same_run(folder, corpus, overrides, refit=refit)
        results[label] = {
            **measuring.read_evaluation(folder),
            "model": label,
            "training": records.training_facts(folder),
        }
        logger.info("%s: HR@10 %.4f", label, results[label]["metrics"]["HR@10"])
    events = {result["event_hash"] for result in results.values()}
    if len(events) > 1:
        raise UserMistake(f"the runs under {out} were measured on different events; empty the folder and repeat")
    return results


def train_once(
    corpus: Path,
    folder: Path,
    overrides: Nested,
    *,
    refit: bool,
    plan: Sequence[EpochPlan] | None = None,
    progress: Callable[[Progress], None] | None,
) -> None:
    """Train into `folder` unless that is finished; a run that was interrupted goes on.

    Args:
        plan: of a refit, epochs that a search has chosen already.
    """
    if not (folder / "manifest.json").exists():
        resume = (partial_of(folder) / RUN_NOTE).exists()
        pipeline.train(corpus, folder, overrides, Options(resume=resume, refit=refit, plan=plan, progress=progress))


def folder_name(label: str) -> str:
    """A label as a file system takes it."""
    return "".join(letter if letter.isalnum() else "-" for letter in label).lower()


def check_same_run(folder: Path, corpus: Path, overrides: Nested, *, refit: bool) -> None:
    """What is found finished has to be what was asked for."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        found, trained_on = config["settings"], config["trained_on"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"cannot read {folder / 'config.json'} ({error}); remove {folder} and repeat") from None
    asked = pipeline.settings_for(corpus, overrides).model_dump(mode="json")
    if found != asked or (len(trained_on) > 1) != refit:
        raise UserMistake(f"{folder} holds a run with other settings than are asked for now; remove it and repeat")


def curves(results: Mapping[str, Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Label → the epochs of its training, for those that were trained."""
    epochs = {label: records.read_epochs(Path(result["training"]["model"])) for label, result in results.items()}
    return {label: played for label, played in epochs.items() if played}
