"""One row of a comparison: what the search of a model chose, and what its fits measured and cost, as read from disk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from segue import models
from segue.errors import ArtifactError, ConfigError
from segue.evaluation.measurement import Measurement, Metrics
from segue.evaluation.significance import UserMeans, user_means
from segue.pipeline.measurement import EVALUATION, read_evaluation, read_ranks
from segue.settings import Nested
from segue.system.atomic import write_text
from segue.system.json_files import read_object, typed
from segue.training.epochs import flattened, read_epochs

ENTRY, COST = "entry.json", "cost.json"


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds; one seed has no deviation."""

    mean: float
    sd: float | None

    @classmethod
    def over(cls, values: Sequence[float]) -> Self:
        """The spread of these values, one per seed."""
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)


@dataclass(frozen=True)
class Entry:
    """The settings chosen for a model before its first fit on train + validation: ``entry.json`` in its folder.

    Attributes:
        tuned: setting → value found by the search; empty without a search.
        trials: number of trials of the search. seconds: duration of all trials.
        validation: HR@10 on validation under the chosen settings.
        settings: the preset and the settings that differ from it, as ``--config`` reads them.
        flattened: whether the learning curve of the search's best trial had flattened; None without a search, and for
            a model that is not trained.
    """

    tuned: Mapping[str, Any]
    trials: int
    seconds: float
    validation: float
    settings: Nested
    flattened: bool | None = None

    def write(self, folder: Path) -> None:
        """Write the entry into the folder of the model."""
        write_text(folder / ENTRY, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the entry that :meth:`write` wrote. Raises ArtifactError when it is missing or damaged."""
        path = folder / ENTRY
        with damage_named(path):
            entry = typed(cls, read_object(path))
            models.load(entry.settings["model"]["name"])
            return entry


@dataclass(frozen=True)
class Cost:
    """The cost of one fit: learned parameters, and the seconds to train and to score the test events."""

    parameters: int
    training: float
    inference: float

    def write(self, run: Path) -> None:
        """Write the cost beside the measurement of the model in the folder `run`."""
        seconds = {"training": self.training, "inference": self.inference}
        text = json.dumps({"parameters": self.parameters, "seconds": seconds}, indent=1) + "\n"
        write_text(run / EVALUATION / COST, text)

    @classmethod
    def read(cls, run: Path) -> Self:
        """Read the cost that :meth:`write` wrote. Raises ArtifactError when it is missing or damaged."""
        path = run / EVALUATION / COST
        with damage_named(path):
            values = read_object(path)
            return typed(cls, {"parameters": values["parameters"], **dict(values["seconds"])})


@dataclass(frozen=True)
class EntrantRow:
    """The finished fits of one model.

    Attributes:
        runs: the folder of each seed's fit. measurements, costs: one per fit.
        trained_events: number of targets that the first fit was trained on.
    """

    entry: Entry
    runs: tuple[Path, ...]
    measurements: tuple[Measurement, ...]
    costs: tuple[Cost, ...]
    trained_events: int

    @property
    def model(self) -> str:
        """Name of the model, without the preset."""
        return str(self.entry.settings["model"]["name"])

    @property
    def flattened(self) -> bool | None:
        """Whether the learning curve from which the epochs were chosen had flattened, with every seed; None where
        nothing was trained, or nobody knows.
        """
        curves = [read_epochs(run) for run in self.runs]
        known = [flattened(curve) if curve else self.entry.flattened for curve in curves]
        return None if None in known else all(known)

    @property
    def metrics(self) -> dict[str, Spread]:
        """Metrics averaged over events: mean and standard deviation over seeds."""
        return _spreads(measured.metrics for measured in self.measurements)

    @property
    def metrics_by_user(self) -> dict[str, Spread]:
        """Metrics averaged over users: mean and standard deviation over seeds."""
        return _spreads(measured.metrics_by_user for measured in self.measurements)

    @property
    def coverage(self) -> dict[str, Spread]:
        """Share of the items that any top-k list shows: mean and standard deviation over seeds."""
        return _spreads(measured.coverage or {} for measured in self.measurements)

    @property
    def seconds(self) -> dict[str, Spread]:
        """Seconds to train and to score the test events: mean and standard deviation over seeds."""
        return _spreads({"training": cost.training, "inference": cost.inference} for cost in self.costs)

    def user_means(self) -> UserMeans:
        """Metrics of each user, seeds averaged first; every row of a comparison is measured on identical events."""
        ranks = [read_ranks(run) for run in self.runs]
        for run, (rank, _), measured in zip(self.runs, ranks, self.measurements, strict=True):
            if len(rank) != measured.events:
                raise ArtifactError(
                    f"{run / EVALUATION} holds {len(rank):,} ranks and a measurement of {measured.events:,} events;"
                    f" measure again with: segue evaluate {run}"
                )
        return user_means([rank for rank, _ in ranks], ranks[0][1])

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape of a row in ``results.json``."""
        return {
            "runs": [str(run) for run in self.runs],
            "metrics": _plain(self.metrics),
            "metrics_by_user": _plain(self.metrics_by_user),
            "coverage": _plain(self.coverage),
            "seconds": {"tuning": self.entry.seconds, **_plain(self.seconds)},
            "parameters": self.costs[0].parameters,
            "trained_events": self.trained_events,
            "trials": self.entry.trials,
            "tuned": self.entry.tuned,
            "settings": self.entry.settings,
            "validation": self.entry.validation,
            "flattened": self.flattened,
        }


def is_measured(run: Path) -> bool:
    """Whether the fit in this folder is finished, with all that a row needs.

    It is not where ``segue evaluate`` has replaced the comparison's measurement since: that one lacks the coverage.
    """
    if not ((run / EVALUATION / COST).exists() and (run.parent / ENTRY).exists()):
        return False
    return read_evaluation(run).coverage is not None


def read_row(folder: Path, runs: Sequence[Path]) -> EntrantRow:
    """Read the row of a model from its folder and the folders of its finished fits, at least one.

    Raises ArtifactError naming a file that is missing or damaged.
    """
    measurements = tuple(read_evaluation(run) for run in runs)
    return EntrantRow(
        Entry.read(folder),
        tuple(runs),
        measurements,
        tuple(Cost.read(run) for run in runs),
        sum(epoch.events for epoch in read_epochs(runs[0], "refit")),
    )


def read_keys(path: Path, *keys: str) -> dict[str, Any]:
    """The values of these keys in a JSON file. Raises ArtifactError when it cannot be read or lacks one."""
    with damage_named(path):
        values = read_object(path)
        return {key: values[key] for key in keys}


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what is wrong with a file of a comparison into an ArtifactError of one line."""
    try:
        yield
    except KeyError as error:
        raise damaged(path, f"{error} is missing") from None
    except (OSError, ValueError, TypeError, ConfigError) as error:
        raise damaged(path, error) from None


def damaged(path: Path, why: object) -> ArtifactError:
    """The error for a file of a comparison that cannot be used."""
    return ArtifactError(f"cannot read {path} ({why}); remove the folder of that model and repeat")


def _spreads(values: Iterable[Metrics]) -> dict[str, Spread]:
    listed = list(values)
    return {key: Spread.over([value[key] for value in listed]) for key in listed[0]}


def _plain(spreads: Mapping[str, Spread]) -> dict[str, dict[str, float | None]]:
    return {name: asdict(spread) for name, spread in spreads.items()}
