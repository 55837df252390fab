"""One model of a comparison: its settings searched once, then fitted and measured once for each seed.

What is finished in its folder is not repeated, and what was interrupted goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from segue import models
from segue.artifact.model_folder import read_model
from segue.artifact.names import MANIFEST, RUN_NOTE
from segue.artifact.partial_run import finish_publishing, partial_of
from segue.compare.row import COST, ENTRY, Cost, Entry, read_keys
from segue.contract.encoder import SessionEncoder
from segue.data.corpus import Part, load
from segue.errors import UserMistake
from segue.pipeline import fit as pipeline
from segue.pipeline import measurement
from segue.pipeline.stages import Options, select
from segue.settings import Settings
from segue.settings.overrides import changed, selected
from segue.system.atomic import write_text
from segue.training.epochs import flattened, read_epochs, training_facts
from segue.training.state import EpochPlan, Progress
from segue.training.validation import SELECTED_BY
from segue.tuning import Budget, SearchProgress, tune

TUNING = "tuning"
_ALWAYS_SHOWN = frozenset({"model.name", "model.preset"})


@dataclass(frozen=True)
class Entrant:
    """A model that takes part.

    Attributes:
        label: its name in the table.
        settings: the complete settings of every fit, but for the seed.
        fixed: dotted keys (``training.max_epochs``) of the settings that the user chose; no search varies them.
    """

    label: str
    settings: Settings
    fixed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Callbacks:
    """Functions that report progress: one gets every training step, one every trial of a model's search."""

    progress: Callable[[Progress], None] | None = None
    trial: Callable[[str, SearchProgress], None] = lambda label, at: None


SILENT = Callbacks()
"""Callbacks that do nothing."""


@dataclass(frozen=True)
class Choice:
    """The settings that a model is fitted with.

    Attributes:
        epochs: the epochs that each fit plays, where a search has chosen them; None: each fit selects its epochs on
            validation.
        tuned, trials, seconds, validation, flattened: see :class:`Entry`; the last two are None without a search.
    """

    settings: Settings
    fixed: frozenset[str]
    epochs: Sequence[EpochPlan] | None = None
    tuned: Mapping[str, Any] = field(default_factory=dict)
    trials: int = 0
    seconds: float = 0.0
    validation: float | None = None
    flattened: bool | None = None

    def selecting_again(self) -> Choice:
        """The choice without the epochs of its search: each fit selects its own on validation."""
        return replace(self, epochs=None)


def seeds_of(model: str, seeds: Sequence[int]) -> Sequence[int]:
    """The seeds that a model is fitted with: a single one where the model uses no random numbers."""
    return seeds if issubclass(models.load(model), SessionEncoder) else seeds[:1]


def search(corpus: Path, folder: Path, entrant: Entrant, budget: Budget, callbacks: Callbacks = SILENT) -> Choice:
    """Search the settings of a model on validation; the study in `folder` goes on where it stopped."""
    best = tune(
        corpus, folder, entrant.settings, budget, fixed=entrant.fixed,
        progress=callbacks.progress, watch=lambda at: callbacks.trial(entrant.label, at),
    )  # fmt: skip
    flat = flattened(read_epochs(folder))
    return Choice(best.settings, best.fixed, best.plan, best.point, len(best.trials), best.seconds, best.value, flat)


def as_it_is(entrant: Entrant) -> Choice:
    """The settings of a model without a search."""
    return Choice(entrant.settings, entrant.fixed)


def fit_seeds(
    corpus: Path,
    folder: Path,
    choice: Choice,
    seeds: Sequence[int],
    *,
    refit: bool = True,
    callbacks: Callbacks = SILENT,
) -> Iterator[Path]:
    """Fit and measure a model once for each seed; yields the folder of each fit when it is measured.

    Args:
        refit: fit on train + validation once the epochs are chosen.

    Raises UserMistake when a finished fit in `folder` had other settings.
    """
    validation = choice.validation
    for seed in seeds:
        run = folder / f"seed-{seed}"
        settings = changed(choice.settings, {"training": {"seed": seed}})
        _fit_once(corpus, run, settings, choice.epochs, refit=refit, callbacks=callbacks)
        if validation is None:
            known = (folder / ENTRY).exists()
            validation = Entry.read(folder).validation if known else _validation(corpus, run, folder, choice.settings)
        shown = selected(choice.settings, _ALWAYS_SHOWN | choice.fixed | choice.tuned.keys())
        Entry(choice.tuned, choice.trials, choice.seconds, validation, shown, choice.flattened).write(folder)
        yield run


def _fit_once(
    corpus: Path,
    run: Path,
    settings: Settings,
    epochs: Sequence[EpochPlan] | None,
    *,
    refit: bool,
    callbacks: Callbacks,
) -> None:
    """Train and measure a model, unless that is done; the clock goes on where an interrupted fit stopped it."""
    clock = run.with_name(run.name + ".seconds")
    if not _is_measured(run, settings):
        before = Cost.read(run).training if _has_cost(run) else None
        with _timed(clock):
            _train_once(corpus, run, settings, Options(refit=refit, plan=epochs, progress=callbacks.progress))
        history = settings.evaluation.history
        evaluation = measurement.evaluate_model(run, corpus, coverage=True, history=history)
        measurement.write_evaluation(run, evaluation)
        training = _read_seconds(clock) if before is None else before
        Cost(_learned_numbers(run), training, evaluation.seconds).write(run)
    clock.unlink(missing_ok=True)
    _check_same_run(run, settings, refit=refit)


def _is_measured(run: Path, settings: Settings) -> bool:
    """Whether the fit is measured as its comparison measures: another command may have measured it otherwise since."""
    if not _has_cost(run):
        return False
    found = measurement.read_evaluation(run)
    return found.coverage is not None and found.history == settings.evaluation.history


def _has_cost(run: Path) -> bool:
    return (run / measurement.EVALUATION / COST).exists()


def _train_once(corpus: Path, run: Path, settings: Settings, options: Options) -> None:
    finish_publishing(run)
    if not (run / MANIFEST).exists():
        resume = (partial_of(run) / RUN_NOTE).exists()
        pipeline.train(corpus, run, settings, replace(options, resume=resume))


def _check_same_run(run: Path, settings: Settings, *, refit: bool) -> None:
    """Raise UserMistake unless the finished fit in this folder has these settings."""
    config = read_keys(run / "config.json", "settings", "trained_on")
    if config["settings"] != settings.model_dump(mode="json") or (len(config["trained_on"]) > 1) != refit:
        raise UserMistake(f"{run} holds a run with other settings than are asked for now; remove it and repeat")


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


def _learned_numbers(run: Path) -> int:
    """The number of parameters that training has learned; counts are not among them."""
    model = read_model(run).model
    return sum(parameter.numel() for parameter in model.parameters()) if isinstance(model, SessionEncoder) else 0


def _validation(corpus: Path, run: Path, folder: Path, settings: Settings) -> float:
    """HR@10 on validation of a model without a search: the value its training selected by, or one measurement."""
    metrics = training_facts(run).validation
    if not metrics:
        metrics = select(load(corpus, (Part.TRAIN, Part.VALIDATION)), folder, settings).metrics
    return float(metrics[SELECTED_BY])
