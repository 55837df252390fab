"""The study on disk: Optuna's journal, a line of JSON for every step, that survives being stopped at any moment."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from segue.errors import ArtifactError, first_line
from segue.pipeline.stages import Selection
from segue.system.atomic import writing
from segue.system.json_files import check_regular, typed
from segue.training.epochs import EpochRecord
from segue.training.state import EpochPlan

JOURNAL = "study.journal"

_NAME = "segue"
_QUESTION, _EPOCHS, _PLAN = "question", "curve", "plan"
_INTERRUPTED = "repeats"
"""The attribute with the number of a trial that was interrupted; studies begun earlier have it at its repetition."""
_SETTLED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_FORMAT = 2
"""Version of the attributes of a trial; a study of another version has to be started again."""
_OF_DAMAGE = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, RecursionError),
    optuna.exceptions.OptunaError,
)
"""What Optuna raises where a line of the journal is not one that it has written."""
_STARTUP = 5
"""Number of trials that run to their end before another may be pruned against them."""
_WARMUP = 2
"""The first epoch whose value may end a trial."""


def open_study(folder: Path, question: dict[str, Any]) -> optuna.Study:
    """Open the study of `folder`, or create it where there is none; trials that were interrupted do not count.

    The caller holds the folder (:func:`segue.system.holding.held`), for the journal itself is not locked.

    Args:
        question: facts of the search, JSON-safe; raises ArtifactError when the study there was started with another.
    """
    journal = Path(os.path.abspath(folder / JOURNAL))
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _mend(journal)
            storage = JournalStorage(JournalFileBackend(str(journal), _HeldFolder(str(journal))))
            study = optuna.create_study(
                storage=storage,
                study_name=_NAME,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=_WARMUP),
                direction="maximize",
                load_if_exists=True,
            )
            _check(study)
        except _OF_DAMAGE as error:
            raise ArtifactError(
                f"the study at {folder} is damaged: {JOURNAL} ({first_line(error)}); drop it with --overwrite"
            ) from None
    question = {**question, "journal": _FORMAT}
    recorded = study.user_attrs.get(_QUESTION, question)
    if recorded != question:
        differ = ", ".join(sorted(key for key in question if recorded.get(key) != question[key]))
        raise ArtifactError(
            f"the study at {folder} was started differently ({differ}); repeat its command, or drop it with --overwrite"
        )
    study.set_user_attr(_QUESTION, question)
    for number in [trial.number for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]:
        # It is not queued again: the next trial draws the same settings, since it draws from the trials that count.
        trial = storage.get_trial_id_from_study_id_trial_number(storage.get_study_id_from_name(_NAME), number)
        storage.set_trial_user_attr(trial, _INTERRUPTED, number)
        study.tell(number, state=TrialState.FAIL)
    return study


def _check(study: optuna.Study) -> None:
    """Raise one of _OF_DAMAGE unless everything can be read that is read of the trials later."""
    dict(study.user_attrs.get(_QUESTION, {}))
    for trial in study.get_trials(deepcopy=False):
        finite = [trial.user_attrs.get("seconds", 0.0), *trial.intermediate_values.values()]
        if trial.state == TrialState.COMPLETE:
            finite.append(trial.value)
        if not all(math.isfinite(value) for value in finite):
            raise ValueError(f"trial {trial.number} has a value that is not finite")
        if not all("." in key for key in trial.params):
            raise ValueError(f"trial {trial.number} has a setting outside of a section")
        if trial.state == TrialState.COMPLETE and "same_as" not in trial.user_attrs:
            epochs_of(trial)
            plan_of(trial)


def settled(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count: finished, pruned, or failed on their own account."""
    trials = study.get_trials(deepcopy=False)
    interrupted = {trial.user_attrs[_INTERRUPTED] for trial in trials if _INTERRUPTED in trial.user_attrs}
    return [trial for trial in trials if trial.state in _SETTLED and trial.number not in interrupted]


def row(number: int, trial: FrozenTrial) -> dict[str, Any]:
    """The record in ``trials.json`` of a trial, which is numbered among those that count."""
    return {
        "number": number,
        "state": trial.state.name.lower(),
        "value": trial.value,
        "settings": dict(trial.params),
        "validation": [trial.intermediate_values[epoch] for epoch in sorted(trial.intermediate_values)],
        **{key: value for key, value in trial.user_attrs.items() if key not in (_INTERRUPTED, _EPOCHS, _PLAN)},
    }


def keep_epochs(trial: optuna.Trial, selection: Selection) -> None:
    """Store the epochs that a trial played, and the epochs that a refit of it plays."""
    trial.set_user_attr(_EPOCHS, [epoch.as_dict() for epoch in selection.epochs])
    trial.set_user_attr(_PLAN, [asdict(epoch) for epoch in selection.plan])


def epochs_of(trial: FrozenTrial) -> list[EpochRecord]:
    """The records of a trial's epochs, as in ``metrics.jsonl``."""
    return [EpochRecord.parse(epoch) for epoch in trial.user_attrs[_EPOCHS]]


def plan_of(trial: FrozenTrial) -> list[EpochPlan]:
    """The epochs that a refit of a trial plays."""
    return [typed(EpochPlan, epoch) for epoch in trial.user_attrs[_PLAN]]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's own log inside the block."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


class _HeldFolder(JournalFileOpenLock):
    """The lock of a journal in a folder that this process holds: nobody else writes there.

    Optuna's own lock is a file beside the journal, which a killed process leaves, and for which the next one waits.
    """

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _mend(journal: Path) -> None:
    """Cut off half a line that a killed process left, since lines after it could not be read; drop a lock of Optuna."""
    for lock in journal.parent.glob(f"{JOURNAL}.lock*"):
        lock.unlink(missing_ok=True)
    if os.path.lexists(journal):
        check_regular(journal)
        whole, newline, _ = journal.read_bytes().rpartition(b"\n")
        with journal.open("r+b") as file:
            file.truncate(len(whole) + len(newline))
