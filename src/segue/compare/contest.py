"""The same for every model: a budget to tune on validation, then a fit on train + validation for each seed, then test.

What is finished is kept, a folder a model, and never repeated; a model that fails leaves its reason in the table.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from segue import models, tuning
from segue.artifact.model_folder import read_model
from segue.compare.runs import check_same_run, folder_name, train_once
from segue.compare.summary import COST, ENTRY, FAILED, TUNING, Summary, summary
from segue.contract.model import SessionEncoder
from segue.data.batches import HistoryPolicy
from segue.data.corpus import Part, load, read_manifest
from segue.errors import ArtifactError, ConfigError, CorpusError, ModelError
from segue.pipeline import fit as pipeline
from segue.pipeline import measurement as measuring
from segue.settings import Nested, merged
from segue.system.atomic import write_text, writing
from segue.system.folders import clear
from segue.training import epochs as records
from segue.training.trainer import SELECTED_BY, EpochPlan, Progress
from segue.tuning import Budget, Standing
from segue.tuning.ranges import Search

logger = logging.getLogger("segue")

PLAN = "comparison.json"
_TABLES = ("results.json", "results.md", "report.html")


@dataclass(frozen=True)
class Plan:
    """What every model is given alike.

    Attributes:
        minutes: for the search of each model, whose best trial says how many epochs each fit plays; 0: presets as they
            are, epochs selected on validation for each fit.
        trials, search: of the search. seeds: a fit each; models without chance need one.
        history: what every model may look back at on test. overrides: settings of every model, never searched.
    """

    minutes: float = 0.0
    trials: int = 40
    search: Search = "tpe"
    seeds: tuple[int, ...] = (0, 1, 2)
    history: HistoryPolicy = "frozen"
    overrides: Nested = field(default_factory=dict)


def entrants(asked: Sequence[str] = ()) -> dict[str, Nested]:
    """Label → settings for ``name`` or ``name/preset``; nothing asked: the default preset of every model, HG-GNN first.

    Raises ConfigError for an unknown model or preset.
    """
    found: dict[str, Nested] = {}
    for entry in asked or sorted(models.names(), key=lambda name: (name != "hg_gnn", name)):
        name, _, preset = entry.partition("/")
        own: Nested = {"model": {"name": name, **({"preset": preset} if preset else {})}}
        label = models.label(models.with_preset(own))
        found[label] = {"model": {"name": name, "preset": label.partition("/")[2] or None}}
    return found


def check_shared(overrides: Nested) -> None:
    """Raise ConfigError for settings that cannot be those of every model, or that a comparison decides by itself."""
    if overrides.get("model"):
        raise ConfigError("settings of [model] differ from model to model; name presets in --models, leave out model.*")
    if "seed" in overrides.get("training", {}) or "history" in overrides.get("evaluation", {}):
        raise ConfigError("a comparison sets training.seed and evaluation.history itself; use --seeds and --history")


@dataclass(frozen=True)
class Told:
    """Who is told what, as it happens: every training step, every trial of a model, and the table when it changes."""

    progress: Callable[[Progress], None] | None = None
    trial: Callable[[str, Standing], None] = lambda label, at: None
    table: Callable[[Summary], None] = lambda so_far: None


def contest(
    corpus: Path, out: Path, runs: dict[str, Nested], plan: Plan, told: Told = Told(), *, overwrite: bool = False
) -> Summary:
    """Tune, fit and measure every model of `runs` that is not finished under `out`.

    Args:
        runs: label → model and preset, see :func:`entrants`.
        overwrite: forget what is there.

    Raises ArtifactError when what is there was made with another corpus or plan, ConfigError when no model takes the
    settings of the plan.
    """
    _check_settings(corpus, runs, plan)
    plan = replace(plan, seeds=_open(out, corpus, runs, plan, overwrite=overwrite))
    for label, own in runs.items():
        folder = out / folder_name(label)
        overrides = merged(plan.overrides, own, {"evaluation": {"history": plan.history}})
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / FAILED).unlink(missing_ok=True)
        try:
            for _ in _enter(corpus, folder, label, overrides, plan, told):
                told.table(standing(out))
        except (CorpusError, ConfigError, ModelError, torch.OutOfMemoryError) as error:
            reason = " ".join(str(error).split())
            logger.warning("%s is left out: %s", label, reason)
            write_text(folder / FAILED, json.dumps({"reason": reason}) + "\n")
            told.table(standing(out))
    return standing(out)


def _check_settings(corpus: Path, runs: dict[str, Nested], plan: Plan) -> None:
    """Raise what is wrong with the settings of all models, before anything is written."""
    wrong = []
    for own in runs.values():
        try:
            pipeline.settings_for(corpus, merged(plan.overrides, own))
        except ConfigError as error:
            wrong.append(error)
    if wrong and len(wrong) == len(runs):
        raise wrong[0]


def standing(out: Path) -> Summary:
    """The table of what is finished under `out`, whether or not anything runs there at the moment.

    Raises ArtifactError when no comparison was ever started there.
    """
    note = _note(out)
    if note is None:
        raise ArtifactError(f"there is no comparison at {out}; start one with: segue compare CORPUS --out {out}")
    folders = {label: out / folder_name(label) for label in note["models"]}
    return summary(folders, {label: _seeds(own, note["seeds"]) for label, own in note["models"].items()}, note["plan"])


def _open(out: Path, corpus: Path, runs: dict[str, Nested], plan: Plan, *, overwrite: bool) -> tuple[int, ...]:
    """Begin or join what is at `out`. Returns its seeds, the first ones first: those of models without chance."""
    # More models and more seeds may join; what each of them is given may not change.
    if out.resolve() == corpus.resolve():
        raise ArtifactError(f"{out} is the corpus itself; choose another --out")
    asked = {"corpus": read_manifest(corpus)["fingerprint"], **asdict(plan)}
    del asked["seeds"]
    found = _note(out)
    if overwrite and found is not None:
        ours = {*_TABLES, PLAN, *(folder_name(label) for label in found["models"])}
        clear(out, lambda path: path.parts[0] in ours, corpus)
        found = None
    elif found is not None and found["plan"] != asked:
        differ = ", ".join(key for key in asked if found["plan"].get(key) != asked[key])
        raise ArtifactError(
            f"the comparison at {out} was started differently ({differ});"
            " repeat its command, or drop it with --overwrite"
        )
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        known = found or {"models": {}, "seeds": []}
        seeds = tuple(dict.fromkeys([*known["seeds"], *plan.seeds]))
        note = {"plan": asked, "models": {**known["models"], **runs}, "seeds": seeds}
        write_text(out / PLAN, json.dumps(note, indent=1) + "\n")
    return seeds


def _note(out: Path) -> dict[str, Any] | None:
    try:
        note = json.loads((out / PLAN).read_text(encoding="utf-8"))
        for own in note["models"].values():
            models.load(own["model"]["name"])
        dict(note["plan"])
        seeds = [int(seed) for seed in note["seeds"]]
        return {"plan": note["plan"], "models": note["models"], "seeds": seeds}
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise ArtifactError(f"{out} is a file; choose another --out") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise ArtifactError(f"the comparison at {out} is damaged: {PLAN} ({error}); drop its folder") from None


def _seeds(own: Nested, seeds: Sequence[int]) -> Sequence[int]:
    """A model without chance is fitted once."""
    return seeds if issubclass(models.load(own["model"]["name"]), SessionEncoder) else seeds[:1]


def _enter(corpus: Path, folder: Path, label: str, overrides: Nested, plan: Plan, told: Told) -> Iterator[int]:
    """One model, from its search to the last of its seeds; yields each seed when it is measured."""
    chosen, epochs = overrides, None
    entry: dict[str, Any] = {"tuned": {}, "trials": 0, "seconds": 0.0, "validation": None}
    if plan.minutes:
        budget = Budget(plan.trials, plan.minutes, plan.search)
        found = tuning.tune(
            corpus, folder / TUNING, overrides, budget,
            progress=told.progress, watch=lambda at: told.trial(label, at),
        )  # fmt: skip
        entry = {"tuned": found.point, "trials": len(found.trials), "seconds": found.seconds, "validation": found.value}
        chosen, epochs = found.settings, found.plan
    for seed in _seeds(overrides, plan.seeds):
        run = folder / f"seed-{seed}"
        _fit(corpus, run, merged(chosen, {"training": {"seed": seed}}), epochs, told)
        if entry["validation"] is None:
            entry["validation"] = _validation(corpus, run, folder, chosen)
        write_text(folder / ENTRY, json.dumps({**entry, "settings": chosen}, indent=1) + "\n")
        yield seed


def _fit(corpus: Path, run: Path, overrides: Nested, epochs: list[EpochPlan] | None, told: Told) -> None:
    """Train and measure, unless that is done; the clock goes on where an interrupted fit stopped it."""
    cost = run / "evaluation" / COST
    clock = run.with_name(run.name + ".seconds")
    if not cost.exists():
        with _timed(clock):
            train_once(corpus, run, overrides, refit=True, plan=epochs, progress=told.progress)
        measured = measuring.evaluate_model(run, corpus, coverage=True)
        measuring.write_evaluation(run, measured)
        seconds = {"training": _read_seconds(clock), "inference": measured.seconds}
        write_text(cost, json.dumps({"parameters": _parameters(run), "seconds": seconds}, indent=1) + "\n")
        clock.unlink(missing_ok=True)
    check_same_run(run, corpus, overrides, refit=True)


@contextmanager
def _timed(clock: Path) -> Iterator[None]:
    started = time.monotonic() - _read_seconds(clock)
    try:
        yield
    finally:
        clock.parent.mkdir(parents=True, exist_ok=True)
        write_text(clock, f"{time.monotonic() - started:.3f}\n")


def _read_seconds(clock: Path) -> float:
    try:
        return float(clock.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not begun yet, or killed while it was written
        return 0.0


def _parameters(run: Path) -> int:
    """Numbers that training has learned; counts are not among them."""
    model = read_model(run).model
    return sum(parameter.numel() for parameter in model.parameters()) if isinstance(model, SessionEncoder) else 0


def _validation(corpus: Path, run: Path, folder: Path, overrides: Nested) -> float:
    """HR@10 on validation of a model that was not tuned: what its training selected by, or measured once."""
    selected = records.training_facts(run)["validation"]
    if not selected:
        parts = load(corpus, (Part.TRAIN, Part.VALIDATION))
        selected = pipeline.select(parts, folder, pipeline.settings_for(corpus, overrides)).metrics
    return float(selected[SELECTED_BY])
