"""The one training loop: updates, decay, early stopping on validation, checkpoints that resume bit for bit."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segue.contract.encoder import SessionEncoder
from segue.data.batches import Batch
from segue.data.corpus import Corpus, Part, Sessions
from segue.data.loader import Loader
from segue.distributed.processes import ALONE, Processes
from segue.errors import ConfigError, ModelError
from segue.settings import EvaluationSettings, TrainingSettings
from segue.system.interrupts import noted
from segue.system.log_lines import telling
from segue.system.torch_runtime import deterministic, keep_large_buffers, pick_device, tensorboard
from segue.training.checkpoints import Checkpoints
from segue.training.epochs import Ended, EpochRecord, write_epochs
from segue.training.optimizers import optimizer_of
from segue.training.pace import Pace
from segue.training.state import EpochPlan, Progress, TrainingState
from segue.training.together import Together
from segue.training.validation import NOTHING, SELECTED_BY, TIES_BY, Validated, Validation

logger = logging.getLogger("segue")


class Trainer:
    """Trains one encoder on one corpus.

    Args:
        model: a fitted model, whose tables and graph exist.
        corpus: its train part is learned, its validation part selects the epoch. It must not hold test sessions.
        folder: folder of the checkpoint and the metrics.
        plan: None selects the best epoch on validation; otherwise exactly these epochs are played (a refit).
        name: name of the metrics file, ``metrics`` or ``refit``.
        progress: called after every step.
        on_epoch: called with the record of every epoch once it is saved; an error that it raises ends the run.
        sessions: those of train that are learned; unset: all.
        processes: those that train together, each with its own `folder`; the first one's is the run's.
        trained_before: whether the model's weights are those of an earlier training. Where no epoch is clearly better
            on validation they stay, and the plan for a refit is empty. Such a run is not resumed.
    """

    def __init__(
        self,
        model: SessionEncoder,
        corpus: Corpus,
        training: TrainingSettings,
        evaluation: EvaluationSettings,
        folder: Path,
        *,
        plan: list[EpochPlan] | None = None,
        name: str = "metrics",
        progress: Callable[[Progress], None] | None = None,
        on_epoch: Callable[[EpochRecord], None] | None = None,
        sessions: Sessions | None = None,
        processes: Processes = ALONE,
        trained_before: bool = False,
    ) -> None:
        if (corpus.part == Part.TEST).any():
            raise ValueError("a corpus with test sessions was given to training")
        if training.pass_events and model.order != "shuffled":
            raise ConfigError(
                f"setting 'training.pass_events': {model.title} carries a state from session to session and reads the "
                "whole log in order; set it to 0"
            )
        self.model, self.corpus, self.training, self.evaluation = model, corpus, training, evaluation
        self.folder, self.plan, self.name, self.trained_before = folder, plan, name, trained_before
        self._progress = progress or (lambda _: None)
        self._on_epoch = on_epoch or (lambda _: None)
        self.device = pick_device(training.device)
        model.to(self.device)
        self.together = Together(model, processes, self.device, training)
        self.loader = Loader(
            corpus, corpus.train if sessions is None else sessions, model.config.window.length,
            shuffle=training.shuffle, order=model.order, device=self.device,
        )  # fmt: skip
        self.pace = Pace(training, self.loader)
        judging = training.validation_events if plan is None else 0
        self.validation = Validation(corpus, evaluation, self.device, judging, self.together.measuring)
        self.optimizer = optimizer_of(model.parameter_groups(), training)
        self.state = TrainingState(training.learning_rate)
        self.best_weights: dict[str, Tensor] = {}
        self.beginning: Validated | None = None
        self.carried: Tensor | None = None
        self.checkpoints = Checkpoints(folder, name, model, self.optimizer, training, self.together, self._carries)
        self._saved_at = time.monotonic()

    def run(self, *, resume: bool = False) -> list[EpochPlan]:
        """Train to the end; the model then holds the weights of the best epoch. Returns what a refit should play."""
        processes = self.together.processes
        if resume and self.trained_before:
            raise ValueError("a training that goes on from earlier weights begins again, it is not resumed")
        if resume and processes.copied(self.checkpoints.path):
            self.state, self.best_weights, self.carried = self.checkpoints.load()
        else:
            torch.manual_seed(self.training.seed)
        self.together.check_weights("at the start", counts=True)
        keep_large_buffers()
        with (
            deterministic(self.device),
            noted() as interrupted,
            tensorboard(self.folder / "tensorboard" / self.name) as log,
        ):
            if self.trained_before:
                self._enter_beginning()
            while not self.state.finished:
                self._epoch(interrupted)
                self._close_epoch(log)
                if any(processes.most(interrupted.is_set())):
                    raise KeyboardInterrupt
            if self.plan is None and self.best_weights:
                self.model.load_state_dict(self.best_weights)
                self._measure_best()
            self.together.end()
            if any(processes.most(interrupted.is_set())):
                raise KeyboardInterrupt
        return [
            EpochPlan(record.learning_rate, record.events / max(self.pace.pass_events, 1))
            for record in self.state.records[: self.state.best_epoch]
        ]

    def _enter_beginning(self) -> None:
        """Let weights that were trained before compete with those of the epochs; a plan of none leaves them.

        An epoch on few sessions moves the weights at random as well as towards these sessions, and the best of several
        looks better than it is: it has to be better beyond chance.
        """
        if self.plan is not None:
            self.state.finished = not self.plan
        else:
            beginning = self._measured(whole=False)
            self._keep_best(beginning, epoch=0)
            if beginning.events:
                self.beginning = beginning
                logger.info("weights as they were: validation %s %.4f", SELECTED_BY, beginning.metrics[SELECTED_BY])

    @property
    def max_epochs(self) -> int:
        """The most passes over the train part that this run can play."""
        return len(self.plan) if self.plan is not None else self.training.max_epochs * self.pace.passes

    @property
    def _learning_rate(self) -> float:
        """The learning rate of the running epoch."""
        state = self.state
        return self.plan[state.epoch - 1].learning_rate if self.plan is not None else state.learning_rate

    def _epoch(self, interrupted: threading.Event) -> None:
        state, model = self.state, self.model
        model.train()
        batches = self.loader.plan(self.pace.batch_events, (self.training.seed, state.epoch))
        self.carried = self.carried if state.step else None
        share = self.plan[state.epoch - 1].share if self.plan is not None else 1.0
        steps = max(1, round(share * min(len(batches), self.pace.steps)))
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate * group.get("pace", 1.0)
        while state.step < steps and not self._out_of_time():
            started = time.monotonic()
            batch = self.together.batch(self.loader, batches[state.step], state.epoch, state.step)
            loss = self._step(batch)
            state.step += 1
            state.events += len(batch.joined)
            state.loss_sum += loss * len(batch.joined)
            # The clock of the slowest is that of all: they go on, save and stop together.
            (seconds,) = self.together.processes.most(time.monotonic() - started)
            state.seconds += seconds
            state.elapsed += seconds
            self._progress(Progress(state.epoch, self.max_epochs, state.step, steps, state.events, state.seconds, loss))
            due = time.monotonic() - self._saved_at >= self.training.checkpoint_minutes * 60
            stop, save = self.together.processes.most(interrupted.is_set(), due)
            if stop:
                self._save()
                raise KeyboardInterrupt
            if save:
                self._save()

    def _step(self, batch: Batch) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        encoding = self.model.encode(batch, self.carried)
        loss = self.model.loss_of(encoding, batch)
        total = self.together.backward(loss, batch)
        self.carried = encoding.state.detach() if encoding.state is not None else None
        self.optimizer.step()
        self.model.after_step()
        value = float(total)
        if not math.isfinite(value):
            found = f"{self._learning_rate:g}"
            raise ConfigError(f"training diverged: the loss is {value}; lower training.learning_rate, found {found}")
        return value

    def _out_of_time(self) -> bool:
        limit = self.training.max_minutes
        return self.plan is None and limit is not None and self.state.step > 0 and self.state.elapsed >= limit * 60

    def _close_epoch(self, log: Callable[[dict[str, Any]], None]) -> None:
        """Validate the epoch, record it, decide whether to go on, and save."""
        state = self.state
        started = time.monotonic()
        measured = self._measured(whole=False) if self.plan is None else NOTHING
        better, validation = self._keep_best(measured), dict(measured.metrics)
        record = EpochRecord(
            epoch=state.epoch,
            events=state.events,
            seconds=round(state.seconds, 3),
            loss=state.loss_sum / max(state.events, 1),
            learning_rate=self._learning_rate,
            validation=validation,
            best=better,
            validation_events=measured.events if self.validation.judges is not None else 0,
        )
        state.elapsed += self.together.processes.most(time.monotonic() - started)[0]
        if self.pace.falls(state.epoch, state.best_epoch, stuck=bool(validation) and not better):
            state.learning_rate *= self.training.decay
        ended = self._ended()
        record = replace(record, ended=ended)
        state.records.append(record)
        state.finished = bool(ended)
        state.epoch, state.step, state.loss_sum, state.events, state.seconds = state.epoch + 1, 0, 0.0, 0, 0.0
        self.together.check_weights(f"after epoch {record.epoch}")
        logger.info("%s", _summary(record), extra=telling("epoch", **record.as_dict()))
        log(record.as_dict())
        self._save()
        self._on_epoch(record)

    def _measure_best(self) -> None:
        """Measure the best epoch on all of validation, where the epochs were compared on a sample of it."""
        if self.validation.judges is None or not self.state.best_epoch:
            return
        place = self.state.best_epoch - 1
        whole = self._measured(whole=True)
        best = replace(self.state.records[place], validation=dict(whole.metrics), validation_events=whole.events)
        self.state.records[place] = best
        told = telling("best_epoch", **best.as_dict())
        logger.info("epoch %d on all of validation: %s", best.epoch, _validated(best), extra=told)
        write_epochs(self.folder, self.state.records, self.name)

    def _measured(self, *, whole: bool) -> Validated:
        """The model as it is now, on validation."""
        try:
            return self.validation.measure(self.model, whole=whole)
        except ModelError as error:
            found = f"{self._learning_rate:g}"
            raise ConfigError(f"training diverged: {error}; lower training.learning_rate, found {found}") from None

    def _keep_best(self, measured: Validated, epoch: int | None = None) -> bool:
        """Whether this epoch, or the one that is named, is the best so far; if so, remember its weights."""
        state, found = self.state, measured.metrics
        epoch = state.epoch if epoch is None else epoch
        # Without validation events there is nothing to select by: the last epoch stands.
        score = (found[SELECTED_BY], found[TIES_BY]) if found else state.best
        better = bool(found) and score > tuple(state.best)
        better = better and (self.beginning is None or measured.clearly_better_than(self.beginning))
        if better:
            self.best_weights = {name: t.detach().clone() for name, t in self.model.state_dict().items()}
        if better or not found:
            state.best, state.best_epoch = score, epoch
        return better

    def _ended(self) -> Ended:
        """The rule that ends the run after this epoch; empty where it goes on."""
        waited = self.pace.without_better(self.state.epoch, self.state.best_epoch)
        if self.plan is None and waited >= self.training.patience:
            return "patience"
        if self.state.epoch >= self.max_epochs:
            return "epochs"
        return "minutes" if self._out_of_time() else ""

    def _save(self) -> None:
        self.checkpoints.save(self.state, self.best_weights, self.carried)
        self._saved_at = time.monotonic()

    @torch.no_grad()
    def _carries(self) -> Tensor | None:
        """The state that the model carries from batch to batch, as its first batch shows it."""
        batch = self.loader.collate(self.loader.plan(self.pace.batch_events)[0])
        return self.model.train().encode(batch).state


def _summary(record: EpochRecord) -> str:
    rate = record.events / max(record.seconds, 1e-9)
    text = f"epoch {record.epoch}: loss {record.loss:.4f}, {rate:,.0f} events/s"
    if not record.validation:
        return text
    return f"{text}, validation {_validated(record)}{' (best)' if record.best else ''}"


def _validated(record: EpochRecord) -> str:
    events = f" on {record.validation_events:,} events" if record.validation_events else ""
    return f"{SELECTED_BY} {record.validation[SELECTED_BY]:.4f}{events}"
