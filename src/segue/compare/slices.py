"""The first model of a comparison beside the best referee, slice by slice.

A referee is a model that counts and is not trained: popularity, sequential rules, co-occurrence, neighbours. The best
one of each slice is chosen on the measured events themselves, after all decisions about models have been made. That
favours the referee, and so can only make the first model look worse than it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from segue import models
from segue.compare.row import EntrantRow
from segue.contract.encoder import SessionEncoder
from segue.data.arrays import FloatArray, IntArray
from segue.evaluation.metrics import METRICS
from segue.evaluation.significance import FEWEST, cluster_bootstrap
from segue.evaluation.slices import SLICES
from segue.pipeline.measurement import read_ranks, read_slices
from segue.training.validation import SELECTED_BY


@dataclass(frozen=True)
class Standing:
    """The first model and its best referee on the events of one slice, by HR@10 averaged over events and seeds.

    Attributes:
        events, users: how many are in the slice. value: HR@10 of the first model.
        referee: label of the best referee. referee_value: its HR@10.
        difference: first model minus referee. interval: 95 % of it, whole users drawn with replacement.
    """

    events: int
    users: int
    value: float
    referee: str
    referee_value: float
    difference: float
    interval: tuple[float, float]

    @property
    def verdict(self) -> Literal["above", "level", "below", "too few users"]:
        """Whether the first model is above or below the referee by more than noise: the interval excludes zero."""
        if self.users < FEWEST:
            return "too few users"
        low, high = self.interval
        return "above" if low > 0 else "below" if high < 0 else "level"


def referees_of(subject: str, rows: Mapping[str, EntrantRow]) -> list[str]:
    """The labels of the models beside the subject that count and are not trained."""
    return [
        label
        for label, row in rows.items()
        if label != subject and not issubclass(models.load(row.model), SessionEncoder)
    ]


def by_slice(subject: str, rows: Mapping[str, EntrantRow]) -> dict[str, dict[str, Standing]]:
    """Kind of slice → slice → the subject beside its best referee there; empty without a referee.

    Args:
        rows: finished rows by label, the subject among them, all measured on identical events. Measurements of an
            earlier Segue lack kinds of slices; these are left out.

    Raises ArtifactError for a damaged file.
    """
    referees = referees_of(subject, rows)
    if not referees:
        return {}
    run = rows[subject].runs[0]
    columns, (_, user) = read_slices(run), read_ranks(run)
    hits = {label: _hits(rows[label]) for label in (subject, *referees)}
    found: dict[str, dict[str, Standing]] = {}
    for kind, codes in columns.items():
        chosen = {label: np.flatnonzero(codes == code) for code, label in enumerate(SLICES[kind])}
        found[kind] = {
            label: _standing(subject, {name: values[events] for name, values in hits.items()}, user[events])
            for label, events in chosen.items()
            if len(events)
        }
    return found


def _hits(row: EntrantRow) -> FloatArray:
    """The metric of each event, averaged over the seeds, [events]."""
    seeds = [METRICS[SELECTED_BY](read_ranks(run)[0]) for run in row.runs]
    return np.asarray(np.mean(seeds, axis=0), dtype=np.float64)


def _standing(subject: str, hits: Mapping[str, FloatArray], user: IntArray) -> Standing:
    """The standing on the events of one slice: the metric of each event by label, and the user of each, [events]."""
    means = {label: float(values.mean()) for label, values in hits.items()}
    referee = max((label for label in means if label != subject), key=means.__getitem__)
    _, index, events = np.unique(user, return_inverse=True, return_counts=True)
    apart = np.bincount(index, hits[subject] - hits[referee]) / events
    # Sums of equal values may differ in the last bit from seed to seed.
    apart[np.abs(apart) < 1e-12] = 0.0
    low, high = cluster_bootstrap(apart[:, None], events)[:, 0]
    difference = means[subject] - means[referee]
    interval = (float(low), float(high))
    return Standing(len(user), len(events), means[subject], referee, means[referee], difference, interval)
