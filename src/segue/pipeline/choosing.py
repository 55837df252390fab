"""How ``segue fit`` chooses: first what train decides, then whether vectors pay beside the counts, on validation.

The counts alone (preset `memory`) are trained first, for they are cheap. Then the whole model (preset `segue`) is
trained, and both rank the targets of the validation part. The whole model is kept only where it is better by more than
noise. docs/decisions/0017 has the rule and its reasons.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segue.artifact.checkpoint import load_checkpoint
from segue.artifact.model_folder import read_facts
from segue.artifact.names import CANDIDATES, CHECKPOINT, CHOICES
from segue.contract.model import SessionModel
from segue.data.corpus import Corpus, Part
from segue.errors import ArtifactError
from segue.evaluation.full_ranking import Evaluation, evaluate, evaluation_sessions
from segue.evaluation.metrics import METRICS
from segue.evaluation.significance import FEWEST, gain
from segue.pipeline.choices import CHOSEN, EPOCHS, OF_VECTORS, PRESET, Choice, LeftOpen, from_train
from segue.settings import Settings, TrainingSettings
from segue.settings.overrides import changed, nested_from
from segue.system.atomic import write_text, writing
from segue.system.json_files import read_object, typed
from segue.system.log_lines import telling
from segue.system.torch_runtime import threads
from segue.training.epochs import EpochRecord, read_epochs, write_epochs
from segue.training.state import EpochPlan
from segue.training.validation import SELECTED_BY

logger = logging.getLogger("segue")

MEMORY, SEGUE = CANDIDATES
_SELECTION = "metrics"


@dataclass(frozen=True)
class Trained:
    """A model that was selected on validation: its complete settings, and the epochs that a refit plays."""

    settings: Settings
    model: SessionModel
    plan: list[EpochPlan]


Train = Callable[[str, Settings], Trained]
"""Trains under the name of a stage, which names its files; a stage that has ended is taken from its checkpoint."""


def choose(
    folder: Path, corpus: Corpus, settings: Settings, left: LeftOpen, train: Train
) -> tuple[Trained, list[Choice]]:
    """Train with what the user left open chosen, and say each choice in one line.

    Once everything is chosen it stands in `folder`, and a resumed run takes it from there.

    Args:
        corpus: its train and validation parts alone.
        settings: the user's, complete; `left` has those of the counts alone.
    """
    stored = _stored(folder)
    choices = from_train(corpus, settings, left) if stored is None else stored
    _say(choices)
    found = {choice.setting: choice.value for choice in choices if choice.setting in CHOSEN}
    dense = changed(settings, nested_from(found))
    counted = {setting: value for setting, value in found.items() if setting not in OF_VECTORS}
    memory = changed(left.memory, nested_from(counted)) if left.memory is not None else None
    if stored is not None:
        return _again(folder, choices, dense, memory, train), choices
    if memory is None:
        stage, trained = _SELECTION, train(_SELECTION, dense)
    else:
        trained, preset = _compared(folder, corpus, dense, memory, train)
        stage = str(preset.value)
        choices = [*(each for each in choices if stage == SEGUE or each.setting not in OF_VECTORS), preset]
        _say([preset])
    records = read_epochs(folder, stage)
    if EPOCHS in left.settings and records:
        choices = [*choices, _epochs(records, settings.training)]
        _say(choices[-1:])
    _keep_records(folder, stage)
    with writing(folder):
        write_text(folder / CHOICES, json.dumps({"choices": [each.as_dict() for each in choices]}, indent=1) + "\n")
    return trained, choices


def read_choices(folder: Path) -> list[Choice]:
    """What was chosen for a trained model; nothing for one that was trained to the letter of its settings.

    Raises ArtifactError when the model or its choices cannot be read.
    """
    facts, _ = read_facts(folder)
    try:
        return _parsed(facts)
    except ValueError as error:
        raise ArtifactError(f"the model {folder} cannot be read (config.json: {error}); train it again") from None


def _compared(folder: Path, corpus: Corpus, dense: Settings, memory: Settings, train: Train) -> tuple[Trained, Choice]:
    """The counts alone or the whole model, and the reason."""
    counts = train(MEMORY, memory)
    if not len(evaluation_sessions(corpus, Part.VALIDATION)[0]):
        return counts, Choice(PRESET, MEMORY, "no session of validation is there to compare it with the vectors on")
    limit = memory.training.max_minutes
    if limit is not None:
        spent = _minutes(folder)
        if spent > limit / 2:
            reason = f"it took more than half of training.max_minutes = {limit:g}; the vectors were not tried"
            return counts, Choice(PRESET, MEMORY, reason)
        whole = train(SEGUE, changed(dense, {"training": {"max_minutes": limit - spent}}))
    else:
        whole = train(SEGUE, dense)
    better, reason = verdict(_measured(counts, corpus), _measured(whole, corpus))
    if better:
        return Trained(dense, whole.model, whole.plan), Choice(PRESET, SEGUE, reason)
    return counts, Choice(PRESET, MEMORY, reason)


def verdict(counts: Evaluation, whole: Evaluation) -> tuple[bool, str]:
    """Whether the whole model is better than the counts alone by more than noise, and the figures.

    It is where the 95 % interval of the difference in HR@10 over events lies above zero, whole users drawn with
    replacement, and at least `FEWEST` users were measured.
    """
    found = gain(SELECTED_BY, whole.rank, counts.rank, counts.events.user)
    low, high = found.by_event_interval
    here, there = (100 * float(np.mean(METRICS[SELECTED_BY](each.rank))) for each in (whole, counts))
    figures = (
        f"{here:.2f} against {there:.2f} % {SELECTED_BY} on validation, {here - there:+.2f} points"
        f" [{100 * low:+.2f}, {100 * high:+.2f}] over {found.users:,} users"
    )
    if found.users < FEWEST:
        return False, f"too few users to tell whether the vectors of segue pay: {figures}"
    if low > 0:
        return True, f"its vectors pay beside the counts of memory: {figures}"
    return False, f"the vectors of segue add nothing beyond noise: {figures}"


def _measured(trained: Trained, corpus: Corpus) -> Evaluation:
    how = trained.settings.evaluation
    with threads(trained.settings.training.threads):
        return evaluate(trained.model, corpus, Part.VALIDATION, history=how.history, mask_session=how.mask_session)


def _epochs(records: Sequence[EpochRecord], training: TrainingSettings) -> Choice:
    """The epoch that was kept, and the rule that ended the search for it."""
    best = [record.epoch for record in records if record.best]
    if not best:
        return Choice(EPOCHS, len(records), "no session of validation is there to choose them on")
    reasons = {
        "patience": f"{training.patience} more were no better (training.patience)",
        "epochs": f"none of all {len(records)} was better (training.max_epochs)",
        "minutes": f"none of the {len(records)} within training.max_minutes was better",
    }
    reason = reasons.get(records[-1].ended, f"none of all {len(records)} was better")
    return Choice(EPOCHS, best[-1], f"the best {SELECTED_BY} on validation; {reason}")


def _again(folder: Path, choices: list[Choice], dense: Settings, memory: Settings | None, train: Train) -> Trained:
    """The model of an unfinished run whose choices have been made, from its checkpoint."""
    stage = next((str(each.value) for each in choices if each.setting == PRESET), _SELECTION)
    trained = train(stage, memory if stage == MEMORY and memory is not None else dense)
    _keep_records(folder, stage)
    return trained


def _keep_records(folder: Path, stage: str) -> None:
    """Let the epochs of the model that is kept be those of the run."""
    if stage != _SELECTION:
        write_epochs(folder, read_epochs(folder, stage))


def _minutes(folder: Path) -> float:
    """The minutes that the counts alone took, validation included, also before an interruption."""
    checkpoint = folder / f"{MEMORY}{CHECKPOINT}"
    return float(load_checkpoint(checkpoint)[1]["elapsed"]) / 60


def _stored(folder: Path) -> list[Choice] | None:
    """The choices of an unfinished run, None where they have not all been made."""
    path = folder / CHOICES
    if not path.exists():
        return None
    with writing(folder):
        try:
            return _parsed(read_object(path))
        except ValueError as error:
            raise ArtifactError(
                f"{path} cannot be read ({error}); start again: repeat the command with --overwrite, without --resume"
            ) from None


def _parsed(values: dict[str, object]) -> list[Choice]:
    """The choices under the key of that name. Raises ValueError for anything else."""
    listed = values.get("choices", [])
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise ValueError("choices: expected a list of tables")
    try:
        return [typed(Choice, each) for each in listed]
    except KeyError as error:
        raise ValueError(f"a choice lacks {error}") from None


def _say(choices: Sequence[Choice]) -> None:
    for choice in choices:
        logger.info("%s", choice.line, extra=telling("choice", **choice.as_dict()))
