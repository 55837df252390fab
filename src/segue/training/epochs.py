"""What a training leaves on record: one line per epoch, and the facts of the model it made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from segue import models
from segue.artifact.model_folder import read_facts
from segue.errors import ArtifactError
from segue.system.atomic import write_text
from segue.system.json_files import parse_object, read_text, typed

Ended = Literal["", "patience", "epochs", "minutes"]
"""The rule by which a training ended."""


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a training, a line of ``metrics.jsonl``.

    Attributes:
        epoch: its number, from 1.
        events: targets that were trained on.
        seconds: wall time of the training steps alone.
        loss: mean over the events.
        learning_rate: the rate of its steps.
        validation: metric → value on the validation part; empty where nothing is validated.
        best: whether no epoch before it was as good on validation.
        ended: the rule that ended the training after it: "patience", or a limit, "epochs" or "minutes"; empty for all
            but the last epoch, and for trainings of an earlier Segue.
        validation_events: events that `validation` was measured on, where ``training.validation_events`` asks for a
            sample: that for all epochs but the best one. 0 where all epochs are measured on all events.
    """

    epoch: int
    events: int
    seconds: float
    loss: float
    learning_rate: float
    validation: Mapping[str, float]
    best: bool
    ended: Ended = ""
    validation_events: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape, without `validation_events` where there is no sample."""
        return {name: value for name, value in asdict(self).items() if name != "validation_events" or value}

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """The record with this JSON shape. Raises KeyError when a key is missing, ValueError for another type."""
        return typed(cls, values)


@dataclass(frozen=True)
class TrainingFacts:
    """What a trained model was made of, for people and scripts.

    Attributes:
        model: the folder. label: name and preset, such as ``sr_gnn/official``.
        trained_on: names of the parts of the corpus. epochs: how many were played, `best_epoch` the one that stands.
        seconds: wall time of the steps of all epochs. validation: metrics of the best epoch.
        statistics: what the model says of what it built.
    """

    model: str
    label: str
    trained_on: list[str]
    epochs: int
    best_epoch: int
    seconds: float
    validation: Mapping[str, float]
    statistics: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape."""
        return asdict(self)


def write_epochs(folder: Path, epochs: Iterable[EpochRecord], name: str = "metrics") -> None:
    """Replace ``metrics.jsonl`` (or ``refit.jsonl``), one line per epoch."""
    write_text(folder / f"{name}.jsonl", "".join(json.dumps(epoch.as_dict()) + "\n" for epoch in epochs))


def read_epochs(folder: Path, name: str = "metrics") -> list[EpochRecord]:
    """The records of :func:`write_epochs`; none where nothing was trained. Raises ArtifactError for a damaged file."""
    path = folder / f"{name}.jsonl"
    if not path.exists():
        return []
    try:
        return [EpochRecord.parse(parse_object(line)) for line in read_text(path).splitlines()]
    except KeyError as error:
        raise ArtifactError(f"cannot read {path} (an epoch lacks {error}); train the model again") from None
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(f"cannot read {path} ({error}); train the model again") from None


def flattened(epochs: Sequence[EpochRecord]) -> bool | None:
    """Whether the learning curve had flattened: patience ended the training, and no limit of epochs or minutes.

    None where that is not known: without epochs, without validation, and for trainings of an earlier Segue.
    """
    if not epochs or not epochs[-1].ended or not epochs[-1].validation:
        return None
    return epochs[-1].ended == "patience"


def training_facts(folder: Path) -> TrainingFacts:
    """The facts of the training of a model that is written, or of a run whose model is."""
    config, settings = read_facts(folder)
    epochs = read_epochs(folder)
    best = [epoch for epoch in epochs if epoch.best]
    return TrainingFacts(
        model=str(folder),
        label=models.label(settings),
        trained_on=config["trained_on"],
        epochs=len(epochs),
        best_epoch=best[-1].epoch if best else len(epochs),
        seconds=round(sum(epoch.seconds for epoch in epochs), 1),
        validation=best[-1].validation if best else {},
        statistics=config["statistics"],
    )
