"""The study on disk: Optuna's journal, a line of JSON for every step, that survives being stopped at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from segue.errors import ArtifactError
from segue.pipeline.fit import Selection
from segue.system.atomic import writing
from segue.training.epochs import EpochRecord
from segue.training.trainer import EpochPlan

JOURNAL = "study.journal"

_QUESTION, _REPEATS, _EPOCHS, _PLAN = "question", "repeats", "curve", "plan"
_SETTLED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_FORMAT = 2
"""Version of the attributes of a trial; a study of another version has to be started again."""
_STARTUP = 5
"""Number of trials that run to their end before another may be pruned against them."""
_WARMUP = 2
"""The first epoch whose value may end a trial."""


def open_study(folder: Path, question: dict[str, Any]) -> optuna.Study:
    """Open the study of `folder`, or create it where there is none; trials that were interrupted are queued again.

    Args:
        question: facts of the search, JSON-safe; raises ArtifactError when the study there was started with another.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _mend(folder / JOURNAL)
        try:
            study = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
                study_name="segue",
                pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=_WARMUP),
                direction="maximize",
                load_if_exists=True,
            )
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
            raise ArtifactError(
                f"the study at {folder} is damaged: {JOURNAL} ({error}); drop it with --overwrite"
            ) from None
    question = {**question, "journal": _FORMAT}
    recorded = study.user_attrs.get(_QUESTION, question)
    if recorded != question:
        differ = ", ".join(sorted(key for key in question if recorded.get(key) != question[key]))
        raise ArtifactError(
            f"the study at {folder} was started differently ({differ}); repeat its command, or drop it with --overwrite"
        )
    study.set_user_attr(_QUESTION, question)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs={_REPEATS: trial.number})
    return study


def settled(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count: finished, pruned, or failed on their own account."""
    trials = study.get_trials(deepcopy=False)
    repeated = {trial.user_attrs[_REPEATS] for trial in trials if _REPEATS in trial.user_attrs}
    return [trial for trial in trials if trial.state in _SETTLED and trial.number not in repeated]


def row(trial: FrozenTrial) -> dict[str, Any]:
    """The record of a trial in ``trials.json``."""
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "value": trial.value,
        "settings": dict(trial.params),
        "validation": [trial.intermediate_values[epoch] for epoch in sorted(trial.intermediate_values)],
        **{key: value for key, value in trial.user_attrs.items() if key not in (_REPEATS, _EPOCHS, _PLAN)},
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
    return [EpochPlan(**epoch) for epoch in trial.user_attrs[_PLAN]]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's own log inside the block."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _mend(journal: Path) -> None:
    """Cut off half a line that a killed process left; the lines after it could not be read."""
    if journal.exists():
        whole, newline, _ = journal.read_bytes().rpartition(b"\n")
        with journal.open("r+b") as file:
            file.truncate(len(whole) + len(newline))
