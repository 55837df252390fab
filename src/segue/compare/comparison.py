"""Treat every model alike: a budget to tune on validation, a fit on train + validation for each seed, then test.

What is finished is kept, one folder per model, and never repeated; a model that fails leaves its reason in the table.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from segue import models
from segue.compare.entrant import SILENT, TUNING, Callbacks, Choice, Entrant, as_it_is, fit_seeds, search, seeds_of
from segue.compare.note import folder_name, join, read_note
from segue.compare.summary import FAILED, Summary, summarise
from segue.data.batches import HistoryPolicy
from segue.errors import ArtifactError, ConfigError, CorpusError, ModelError
from segue.pipeline.settings import settings_for_corpus
from segue.settings import Nested, merged
from segue.settings.overrides import dotted_keys
from segue.system.atomic import write_text, writing
from segue.system.holding import held
from segue.tuning import Budget
from segue.tuning.ranges import Search

logger = logging.getLogger("segue")


@dataclass(frozen=True)
class ComparisonPlan:
    """The conditions that all models of a comparison share.

    Attributes:
        minutes: time for the search of each model, whose best trial says how many epochs each fit plays; 0: presets
            unchanged, and epochs selected on validation for each fit.
        trials, search: limits and method of the search.
        seeds: each model is fitted once per seed; a model without random numbers needs one seed.
        history: what every model may look back at on test.
        overrides: settings of every model, which no search varies.
    """

    minutes: float = 0.0
    trials: int = 40
    search: Search = "tpe"
    seeds: tuple[int, ...] = (0, 1, 2)
    history: HistoryPolicy = "frozen"
    overrides: Nested = field(default_factory=dict)

    def as_note(self) -> dict[str, Any]:
        """The conditions that must be equal for models to join a comparison: all but the seeds."""
        return {key: value for key, value in asdict(self).items() if key != "seeds"}


@dataclass(frozen=True)
class Refused:
    """A model whose settings under a plan are not valid; it stands in the table with the reason."""

    label: str
    reason: str


def named_models(names: Sequence[str] = ()) -> dict[str, Nested]:
    """Label → name and preset, for ``name`` or ``name/preset``; no names: each model's default preset, HG-GNN first.

    Raises ConfigError for an unknown model or preset.
    """
    chosen: dict[str, Nested] = {}
    for entry in names or sorted(models.names(), key=lambda name: (name != "hg_gnn", name)):
        name, _, preset = entry.partition("/")
        own: Nested = {"model": {"name": name, **({"preset": preset} if preset else {})}}
        label = models.label(models.with_preset(own))
        chosen[label] = {"model": {"name": name, "preset": label.partition("/")[2] or None}}
    return chosen


def entrants(corpus: Path, chosen: Mapping[str, Nested], plan: ComparisonPlan) -> list[Entrant | Refused]:
    """The door of a comparison: label → own settings of a model become complete ones under a plan.

    Raises ConfigError when no model at all takes the settings of the plan.
    """
    check_shared(plan.overrides)
    entered: list[Entrant | Refused] = []
    for label, own in chosen.items():
        overrides = merged(plan.overrides, own, {"evaluation": {"history": plan.history}})
        try:
            entered.append(Entrant(label, settings_for_corpus(corpus, overrides), dotted_keys(overrides)))
        except ConfigError as error:
            entered.append(Refused(label, " ".join(str(error).split())))
    refused = [entry for entry in entered if isinstance(entry, Refused)]
    if refused and len(refused) == len(entered):
        raise ConfigError(refused[0].reason)
    return entered


def check_shared(overrides: Nested) -> None:
    """Raise ConfigError for settings that cannot be those of every model, or that a comparison decides by itself."""
    if overrides.get("model"):
        raise ConfigError("settings of [model] differ from model to model; name presets in --models, leave out model.*")
    if "seed" in overrides.get("training", {}) or "history" in overrides.get("evaluation", {}):
        raise ConfigError("a comparison sets training.seed and evaluation.history itself; use --seeds and --history")


def compare(
    corpus: Path,
    out: Path,
    chosen: Mapping[str, Nested],
    plan: ComparisonPlan = ComparisonPlan(),
    callbacks: Callbacks = SILENT,
    *,
    on_change: Callable[[Summary], None] = lambda summary: None,
    overwrite: bool = False,
) -> Summary:
    """Tune, fit and measure every model that is not finished under `out`.

    Args:
        chosen: label → name, preset and settings of its own, see :func:`named_models`.
        on_change: called with the table whenever it changes.
        overwrite: forget the comparison that is there.

    Raises ArtifactError when what is there was made with another corpus or plan, or another process works there,
    ConfigError when no model takes the settings of the plan.
    """
    entered = entrants(corpus, chosen, plan)
    with held(out, ArtifactError):
        plan = replace(plan, seeds=join(out, corpus, chosen, plan.seeds, plan.as_note(), overwrite=overwrite))
        for entry in entered:
            _enter(corpus, out, entry, plan, callbacks, on_change)
        return standing(out)


def _enter(
    corpus: Path,
    out: Path,
    entry: Entrant | Refused,
    plan: ComparisonPlan,
    callbacks: Callbacks,
    on_change: Callable[[Summary], None],
) -> None:
    """Tune, fit and measure one model, or write down why that is not possible."""
    folder = out / folder_name(entry.label)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILED).unlink(missing_ok=True)
    try:
        if isinstance(entry, Refused):
            raise ConfigError(entry.reason)
        choice = _choose(corpus, folder, entry, plan, callbacks)
        for _ in fit_seeds(
            corpus, folder, choice, seeds_of(entry.settings.model.name, plan.seeds), callbacks=callbacks
        ):
            on_change(standing(out))
    except (CorpusError, ConfigError, ModelError, torch.OutOfMemoryError) as error:
        reason = " ".join(str(error).split())
        logger.warning("%s is left out: %s", entry.label, reason)
        write_text(folder / FAILED, json.dumps({"reason": reason}) + "\n")
        on_change(standing(out))


def standing(out: Path) -> Summary:
    """The table of what is finished under `out`, whether or not anything runs there at the moment.

    Raises ArtifactError when no comparison was ever started there.
    """
    note = read_note(out)
    if note is None:
        raise ArtifactError(f"there is no comparison at {out}; start one with: segue compare CORPUS --out {out}")
    folders = {label: out / folder_name(label) for label in note.models}
    return summarise(
        folders, {label: seeds_of(own["model"]["name"], note.seeds) for label, own in note.models.items()}, note.plan
    )


def _choose(corpus: Path, folder: Path, entrant: Entrant, plan: ComparisonPlan, callbacks: Callbacks) -> Choice:
    if not plan.minutes:
        return as_it_is(entrant)
    return search(corpus, folder / TUNING, entrant, Budget(plan.trials, plan.minutes, plan.search), callbacks)
