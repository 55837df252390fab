"""What was measured of a model on one part of a corpus, as it is written, read and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from segue.errors import UserMistake
from segue.system.json_files import typed

Metrics = Mapping[str, float]
"""Name of a metric, such as ``HR@10``, → its value, a fraction."""

_OPTIONAL = ("coverage", "discovery")


@dataclass(frozen=True)
class Discovery:
    """The averages of lists that reserve places for items new to the user: :mod:`segue.evaluation.discovery`.

    Attributes:
        share: the share of the places that was reserved. places: length of the list, as text → reserved places.
        metrics: averaged over events. slices: kind of slice → slice → its events and metrics.
    """

    share: float
    places: Mapping[str, int]
    metrics: Metrics
    slices: Mapping[str, Mapping[str, Metrics]]


@dataclass(frozen=True)
class Measurement:
    """The averages of one evaluation; the shape of ``segue evaluate --json``.

    Attributes:
        split: the part of the corpus. protocol: how the corpus was split. history: what models could look back at.
        model: its label. corpus_fingerprint: of the prepared data.
        events, sessions, users: how many were measured.
        metrics: averaged over events; `metrics_by_session` and `metrics_by_user` over sessions and over users.
        slices: kind of slice → slice → its events and metrics.
        masked: whether items of the running session were no candidates.
        event_hash: equal for two models exactly when they were measured on identical events.
        tie_gap: metric → how much better it would look with ties counted for the model.
        skipped: clicks and sessions that were left out because their items are unseen in train.
        coverage: share of the items that any top-k list shows, by k, where that was measured.
        discovery: the same of the lists of ``--discover``, where these were measured.
    """

    split: str
    protocol: str | None
    history: str
    model: str
    corpus_fingerprint: str
    events: int
    sessions: int
    users: int
    metrics: Metrics
    metrics_by_session: Metrics
    metrics_by_user: Metrics
    slices: Mapping[str, Mapping[str, Metrics]]
    masked: bool
    event_hash: str
    tie_gap: Metrics
    skipped: Mapping[str, int]
    coverage: Metrics | None = None
    discovery: Discovery | None = None

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape; without coverage and discovery where these were not measured."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["discovery"] = asdict(self.discovery) if self.discovery else None
        return {name: value for name, value in values.items() if name not in _OPTIONAL or value is not None}

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """The measurement with this JSON shape. Raises KeyError for a missing key, ValueError for another type."""
        return typed(cls, values)


def check_same_events(measurements: Mapping[str, Measurement]) -> None:
    """Raise UserMistake when there is no measurement, or when two are of different events or protocols."""
    if not measurements:
        raise UserMistake("there is no evaluation to show; name at least one")
    first, *others = measurements
    for label in others:
        if measurements[label].event_hash != measurements[first].event_hash:
            raise UserMistake(
                f"'{first}' and '{label}' were measured on different events and cannot share a table;"
                " evaluate both on the same corpus and split"
            )
        protocols = [(one.history, one.masked) for one in (measurements[first], measurements[label])]
        if protocols[0] != protocols[1]:
            raise UserMistake(
                f"'{first}' and '{label}' were measured with another history or mask (history {protocols[0][0]} and"
                f" {protocols[1][0]}) and cannot share a table; evaluate both with the same settings of [evaluation]"
            )
