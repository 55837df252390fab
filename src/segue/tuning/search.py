"""The search for settings: trials on train, each measured on validation, until trials or minutes are spent.

A study that was stopped goes on where it was: every trial draws from the seed and its own number, and one that was
interrupted is repeated. Test sessions are never opened.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.trial import FrozenTrial, TrialState

from segue import models
from segue.data.corpus import Part, load
from segue.errors import ArtifactError, ConfigError, ModelError
from segue.pipeline.stages import Options, select
from segue.settings import Nested, Settings
from segue.settings.overrides import changed, selected
from segue.settings.toml import as_toml
from segue.system.atomic import write_text, writing
from segue.system.folders import clear
from segue.system.holding import held, sweep
from segue.system.log_lines import telling
from segue.system.torch_runtime import pick_device
from segue.training.epochs import EpochRecord, write_epochs
from segue.training.state import EpochPlan, Progress
from segue.training.validation import SELECTED_BY
from segue.tuning.journal import JOURNAL, epochs_of, keep_epochs, open_study, plan_of, quiet, row, settled
from segue.tuning.ranges import Point, Search, all_points, distributions, preset_point, searched, with_point

logger = logging.getLogger("segue")

_RUNNING = "running"
_OURS = (JOURNAL, "trials.json", "best.toml", "metrics.jsonl", _RUNNING)


@dataclass(frozen=True)
class Budget:
    """The limits and the method of a search."""

    trials: int = 40
    minutes: float | None = None
    search: Search = "tpe"
    seed: int = 0


@dataclass(frozen=True)
class SearchProgress:
    """The progress of a search, reported before the first trial and after each."""

    trials: int
    of: int
    seconds: float
    best: float | None


@dataclass(frozen=True)
class SearchResult:
    """The result of a search: the best settings.

    Attributes:
        settings: the complete settings. fixed: dotted keys that the user chose, which were not searched.
        point: dotted keys that were searched, with their values. ``best.toml`` holds `fixed` and `point`.
        value: HR@10 of the settings on validation. plan: the epochs that a refit plays.
        seconds: duration of all trials. trials: records as in ``trials.json``.
    """

    settings: Settings
    fixed: frozenset[str]
    point: Point
    value: float
    plan: list[EpochPlan]
    seconds: float
    trials: list[dict[str, Any]]


def tune(
    corpus: Path,
    out: Path,
    settings: Settings,
    budget: Budget = Budget(),
    *,
    fixed: frozenset[str] = frozenset(),
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
    watch: Callable[[SearchProgress], None] | None = None,
) -> SearchResult:
    """Search a model's space for the best validation HR@10; continues the study at `out` where there is one.

    Args:
        corpus: a prepared corpus, of which train and validation are read.
        out: a folder for the study, ``trials.json``, ``best.toml`` and ``metrics.jsonl``, the epochs of the best
            trial; the last three are written after every trial.
        settings: complete ones, see :func:`segue.pipeline.settings.settings_for_corpus`.
        fixed: dotted keys of the settings that no trial varies.
        overwrite: forget the study that is there.
        progress, watch: called after every training step, and after every trial.

    Raises ConfigError when no trial succeeds, ArtifactError when the study at `out` was started differently or another
    process works on it, CorpusError when the model needs what the corpus lacks.
    """
    with quiet(), held(out, ArtifactError), writing(out):
        try:
            search = _Search(corpus, out, settings, budget, fixed, progress, overwrite=overwrite)
            return search.run(watch or (lambda _: None))
        except optuna.exceptions.UpdateFinishedTrialError:
            raise ArtifactError(
                f"another process works on the study at {out}; wait until it ends, then repeat the command"
            ) from None


def _is_ours(path: Path) -> bool:
    return path.parts[0].startswith(_OURS)


class _Search:
    def __init__(
        self,
        corpus: Path,
        out: Path,
        settings: Settings,
        budget: Budget,
        fixed: frozenset[str],
        progress: Callable[[Progress], None] | None,
        *,
        overwrite: bool,
    ) -> None:
        self.out, self.budget, self.progress = out, budget, progress
        self.space, self.settings, self.fixed = searched(budget.search, settings, fixed)
        pick_device(self.settings.training.device)
        self.label = models.label(self.settings)
        self.corpus = load(corpus, (Part.TRAIN, Part.VALIDATION))
        grid = budget.search == "paper-grid"
        self.points = all_points(self.space, None if grid else budget.trials, budget.seed)
        self.first = None if grid else preset_point(self.settings, self.space)
        if (out / JOURNAL).exists():
            if overwrite:
                clear(out, _is_ours, corpus)
            else:
                sweep(out, _is_ours)
        question = {
            "corpus": self.corpus.fingerprint,
            "settings": self.settings.model_dump(mode="json"),
            "search": budget.search,
            "seed": budget.seed,
        }
        self.study = open_study(out, question)

    def run(self, watch: Callable[[SearchProgress], None]) -> SearchResult:
        watch(self._at())
        while (left := self._seconds_left()) > 0 and len(settled(self.study)) < self.budget.trials and self._queue():
            self._trial(left)
            self._write()
            watch(self._at())
        self._write()
        shutil.rmtree(self.out / _RUNNING, ignore_errors=True)  # of a process that was killed after its last trial
        best, trials = self._best(), self._rows()
        if best is None or best.value is None:
            reasons = [trial["reason"] for trial in trials if "reason" in trial]
            why = reasons[-1] if reasons else "allow it more than 0 trials and minutes"
            raise ConfigError(f"no trial of {self.label} succeeded, of {len(trials)}: {why}")
        settings, plan = with_point(self.settings, best.params), plan_of(best)
        return SearchResult(settings, self.fixed, dict(best.params), best.value, plan, self._seconds(), trials)

    def _queue(self) -> bool:
        """Queue the next point where the sampler does not choose it; False when no point is left to try."""
        tried = settled(self.study)
        if self.study.get_trials(states=(TrialState.WAITING,)):
            return True
        if self.first is not None and not tried:
            self.study.enqueue_trial(self.first)
        elif self.points is not None:
            left = [point for point in self.points if all(point != trial.params for trial in tried)]
            if not left:
                return False
            self.study.enqueue_trial(left[0])
        return True

    def _trial(self, left: float) -> None:
        """Run one trial: get its settings from the study, measure them, and record the value in the journal."""
        before = settled(self.study)
        draw = np.random.SeedSequence([self.budget.seed, len(before)]).generate_state(1)
        self.study.sampler = optuna.samplers.TPESampler(seed=int(draw[0]))
        # The first trial is the preset: settings of it that lie outside their range are not sampled.
        space = self.space if before or self.first is None else {key: self.space[key] for key in self.first}
        trial = self.study.ask(distributions(space))
        twin = next((other for other in before if other.params == trial.params), None)
        if twin is not None:
            trial.set_user_attr("same_as", before.index(twin))
            self.study.tell(trial, twin.value, state=twin.state)
            return
        started = time.monotonic()
        value, state = self._measure(trial, left)
        trial.set_user_attr("seconds", round(time.monotonic() - started, 3))
        self.study.tell(trial, value, state=state)
        point = ", ".join(f"{key.partition('.')[2]} {value}" for key, value in trial.params.items())
        outcome = f"{SELECTED_BY} {value:.4f}" if value is not None else state.name.lower()
        told = telling("trial", trial=len(before) + 1, trials=self._most(), value=value, settings=trial.params)
        logger.info("trial %d of %d: %s (%s)", len(before) + 1, self._most(), outcome, point or "as it is", extra=told)

    def _measure(self, trial: optuna.Trial, left: float) -> tuple[float | None, TrialState]:
        def watch(record: EpochRecord) -> None:
            trial.set_user_attr("epochs", record.epoch)
            if record.validation:
                trial.report(record.validation[SELECTED_BY], record.epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned

        folder = self.out / _RUNNING
        with writing(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        options = Options(progress=self.progress, on_epoch=watch)
        try:
            settings = self._within(with_point(self.settings, trial.params), left)
            selection = select(self.corpus, folder, settings, options)
        except optuna.TrialPruned:
            return None, TrialState.PRUNED
        except (ConfigError, ModelError, torch.OutOfMemoryError) as error:
            trial.set_user_attr("reason", " ".join(str(error).split()))
            return None, TrialState.FAIL
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        trial.set_user_attr("metrics", dict(selection.metrics))
        keep_epochs(trial, selection)
        return selection.metrics[SELECTED_BY], TrialState.COMPLETE

    def _within(self, settings: Settings, left: float) -> Settings:
        """The settings of a trial that ends with the minutes; its last epoch is then cut short, and measured."""
        if math.isinf(left):
            return settings
        own = self.settings.training.max_minutes
        return changed(settings, {"training": {"max_minutes": min(own or math.inf, left / 60)}})

    def _seconds(self) -> float:
        return math.fsum(trial.user_attrs.get("seconds", 0.0) for trial in settled(self.study))

    def _seconds_left(self) -> float:
        return math.inf if self.budget.minutes is None else 60 * self.budget.minutes - self._seconds()

    def _most(self) -> int:
        """The largest possible number of trials; the preset adds one where it lies outside the space."""
        if self.points is None:
            return self.budget.trials
        return min(self.budget.trials, len(self.points) + (self.first is not None and self.first not in self.points))

    def _best(self) -> FrozenTrial | None:
        """The trial with the best value; the earliest among equals."""
        complete = [trial for trial in settled(self.study) if trial.value is not None]
        return max(complete, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)

    def _at(self) -> SearchProgress:
        best = self._best()
        return SearchProgress(len(settled(self.study)), self._most(), self._seconds(), best.value if best else None)

    def _write(self) -> None:
        """Bring trials.json and best.toml up to date."""
        best, trials = self._best(), settled(self.study)
        number = next((place for place, trial in enumerate(trials) if best and trial.number == best.number), None)
        facts = {
            "model": self.label,
            "selected_by": f"{SELECTED_BY} on validation",
            **asdict(self.budget),
            "space": {key: asdict(values) for key, values in self.space.items()},
            "seconds": round(self._seconds(), 3),
            "best": number,
            "trials": self._rows(),
        }
        with writing(self.out):
            write_text(self.out / "trials.json", json.dumps(facts, indent=1) + "\n")
            if best:
                comment = f"Trial {number} of {len(trials)}: {SELECTED_BY} {best.value:.4f} on validation."
                write_text(self.out / "best.toml", as_toml(self._searched(best), comment))
                write_epochs(self.out, epochs_of(best))

    def _rows(self) -> list[dict[str, Any]]:
        return [row(number, trial) for number, trial in enumerate(settled(self.study))]

    def _searched(self, trial: FrozenTrial) -> Nested:
        """The settings of a trial that differ from its preset, and the preset."""
        keys = {"model.name", "model.preset", *self.fixed, *trial.params}
        return selected(with_point(self.settings, trial.params), keys)
