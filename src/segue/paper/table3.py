"""Table 3: seconds per training epoch, for models of one size and one batch size."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from segue import models
from segue.contract.encoder import SessionEncoder
from segue.contract.needs import check_needs
from segue.data.batches import Batch
from segue.data.corpus import Corpus, Part, load
from segue.data.engine import spilling
from segue.data.loader import BatchRows
from segue.errors import SegueError, UserMistake
from segue.evaluation.full_ranking import evaluate
from segue.paper.plan import Plan, digest
from segue.paper.printed_numbers import SECONDS_PER_EPOCH
from segue.paper.rows import baseline, hg_gnn, with_reasons
from segue.paper.sheet import Sheet, with_theirs
from segue.pipeline.settings import settings_for_corpus
from segue.report.table import MISSING, Cell, Table
from segue.settings import Nested, Settings, merged
from segue.system.atomic import write_text, writing
from segue.system.json_files import read_object
from segue.system.torch_runtime import enough_memory, threads
from segue.training.trainer import Trainer

logger = logging.getLogger("segue")

DIM, BATCH_EVENTS, EPOCHS, QUICK_EPOCHS = 128, 512, 10, 2
_TIMED: dict[str, Nested] = {"A-PGNN": baseline("a_pgnn"), "GCE-GNN": baseline("gce_gnn"), "HG-GNN": hg_gnn()}
_COLUMNS = ("seconds per epoch", "epochs", "collating", "loading", "graph building", "evaluation")


def runtime(plan: Plan) -> Sheet:
    """Time the epochs of A-PGNN, GCE-GNN and HG-GNN, and separately the steps that the paper leaves out."""
    timings = {label: _attempt(plan, label, own) for label, own in _TIMED.items()}
    if all("reason" in facts for facts in timings.values()):
        label, facts = next(iter(timings.items()))
        raise UserMistake(f"no model could be timed; {label}: {facts['reason']}")
    rows = {label: _cells(facts) for label, facts in timings.items()}
    table = with_reasons(
        Table(("model", *_COLUMNS), rows), {name: row.get("reason", "") for name, row in timings.items()}
    )
    facts = next(row for row in timings.values() if "reason" not in row)
    caption = (
        *plan.data_caption(),
        f"d = {DIM} and batches of {BATCH_EVENTS} events for all; everything else by the preset for the paper's"
        " conditions. Seconds per epoch: mean over the epochs shown of forward, backward and optimizer; seed 0; one"
        f" epoch is {facts['events_per_epoch']:,} events on {facts['device']} ({facts['threads']} threads). An epoch"
        " that a time limit cut short counts by its events.",
        "Apart from that, in seconds: collating the batches of an epoch; once each, loading the corpus, building the"
        f" graph and tables, scoring and ranking the {facts['test_events']:,} test events.",
    )
    shown = with_theirs(table, SECONDS_PER_EPOCH, ("seconds per epoch",), plan.source)
    return Sheet("table3", "Table 3: seconds per training epoch", caption, shown, {"rows": timings})


def _cells(facts: Mapping[str, Any]) -> list[Cell]:
    if "reason" in facts:
        return [Cell(MISSING) for _ in _COLUMNS]
    keys = ("seconds_per_epoch", "epochs", "collating", "loading", "graph_building", "evaluation")
    return [Cell(f"{facts[key]:,.2f}" if facts[key] >= 1 else f"{facts[key]:.2g}") for key in keys]


def _attempt(plan: Plan, label: str, own: Nested) -> dict[str, Any]:
    try:
        return _timed(plan, label, _settings(plan, own))
    except SegueError as error:
        logger.warning("%s: %s", label, error)
        return {"reason": " ".join(str(error).split())}


def _settings(plan: Plan, own: Nested) -> Settings:
    """Complete settings of one model: all models share size, batch and epochs, and no training stops early."""
    epochs = QUICK_EPOCHS if plan.quick else EPOCHS
    as_it_says = {"epoch_steps": 0, "pass_steps": 0}  # an epoch is a pass, whatever its number of steps
    training: Nested = {
        "training": {"batch_events": BATCH_EVENTS, "max_epochs": epochs, "seed": 0, **as_it_says},
    }
    return settings_for_corpus(plan.corpus, merged(plan.budget(), own, {"model": {"dim": DIM}}, training))


def _timed(plan: Plan, label: str, settings: Settings) -> dict[str, Any]:
    """The timing of one model, stored beside the models; an interrupted timing begins anew, since its clock is lost."""
    whole = load(plan.corpus)
    key = digest(whole.fingerprint, settings.model_dump(mode="json"))
    folder = plan.out / "timing"
    stored = folder / f"{settings.model.name}-{key}.json"
    run = stored.with_suffix(".partial")
    shutil.rmtree(run, ignore_errors=True)  # of a process that was killed
    with suppress(OSError, ValueError):
        return read_object(stored)
    logger.info("%s: timing", label)
    with writing(run):
        run.mkdir(parents=True)
    with threads(settings.training.threads), enough_memory(f"timing {label}"):
        facts = _measure(plan, whole, settings, run)
    write_text(stored, json.dumps(facts, indent=1) + "\n")
    shutil.rmtree(run)
    return facts


class _Collating:
    """A stopwatch for a trainer's collating, which the trainer's clock counts as training."""

    def __init__(self, trainer: Trainer) -> None:
        self._seconds, self._events = 0.0, 0
        self._collate = trainer.loader.collate
        trainer.loader.collate = self._watched  # type: ignore[method-assign]

    @property
    def seconds_per_event(self) -> float:
        return self._seconds / max(self._events, 1)

    def _watched(self, rows: BatchRows) -> Batch:
        started = time.monotonic()
        batch = self._collate(rows)
        self._seconds += time.monotonic() - started
        self._events += len(batch)
        return batch


def _measure(plan: Plan, whole: Corpus, settings: Settings, run: Path) -> dict[str, Any]:
    started = time.monotonic()
    # Without the validation part there is nothing to stop early by, and nothing but steps between epochs.
    corpus = load(plan.corpus, (Part.TRAIN,))
    loading = time.monotonic() - started
    torch.manual_seed(settings.training.seed)
    model = models.build(settings)
    check_needs(model, corpus)
    if not isinstance(model, SessionEncoder):
        raise UserMistake(f"{settings.model.name} is not trained in epochs")
    started = time.monotonic()
    with spilling(run / "scratch"):
        model.fit(corpus)
    building = time.monotonic() - started
    trainer = Trainer(model, corpus, settings.training, settings.evaluation, run, progress=plan.progress)
    collating = _Collating(trainer)
    trainer.run()
    started = time.monotonic()
    how = settings.evaluation
    tested = evaluate(
        model, whole, Part.TEST, history=how.history, mask_session=how.mask_session, device=trainer.device
    )
    evaluation = time.monotonic() - started
    records = trainer.state.records
    played = sum(record.events for record in records)
    per_event = sum(record.seconds for record in records) / played
    return {
        "seconds_per_epoch": (per_event - collating.seconds_per_event) * trainer.loader.n_events,
        "collating": collating.seconds_per_event * trainer.loader.n_events,
        "epochs": played / trainer.loader.n_events,
        "events_per_epoch": trainer.loader.n_events,
        "loading": loading,
        "graph_building": building,
        "evaluation": evaluation,
        "test_events": len(tested.rank),
        "device": str(trainer.device),
        "threads": torch.get_num_threads(),
        "settings": settings.model_dump(mode="json", include={"model", "graph", "training"}),
        "epoch_records": [record.as_dict() for record in records],
    }
