"""How good an epoch is: its metrics on the validation part, or on a sample of it while epochs are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from segue.contract.encoder import SessionEncoder
from segue.data.arrays import IntArray
from segue.data.corpus import Corpus, Part
from segue.distributed.processes import ALONE, Processes
from segue.evaluation.full_ranking import evaluate, evaluation_sessions
from segue.evaluation.significance import FEWEST, gain
from segue.settings import EvaluationSettings

SELECTED_BY, TIES_BY = "HR@10", "MRR@10"
"""Validation metrics that choose the epoch; the second one decides where the first is equal, as on tiny catalogues."""


@dataclass(frozen=True)
class Validated:
    """What a measurement on validation showed.

    Attributes:
        metrics: averages over the events; none where there is no event.
        rank: the rank of the target of each event, [events]. user: the number of its user, [events].
    """

    metrics: Mapping[str, float]
    rank: IntArray = field(repr=False)
    user: IntArray = field(repr=False)

    @property
    def events(self) -> int:
        """The number of events that were measured."""
        return len(self.rank)

    def clearly_better_than(self, other: Validated) -> bool:
        """Whether the 95 % interval of the mean difference in :data:`SELECTED_BY` over users lies above zero; both are
        of the same events. Too few users for a verdict are none."""
        found = gain(SELECTED_BY, self.rank, other.rank, self.user)
        return found.users >= FEWEST and found.by_user_interval[0] > 0


NOTHING = Validated({}, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
"""What is known of an epoch of a refit, which is not measured."""


class Validation:
    """The validation part of a corpus, as a training measures on it.

    Args:
        most_events: approximate most events of the sample that epochs are compared on; 0: all are measured.
        processes: those that share the measuring.

    Attributes:
        judges: the users of that sample; None where it is everybody.
    """

    def __init__(
        self,
        corpus: Corpus,
        evaluation: EvaluationSettings,
        device: torch.device,
        most_events: int = 0,
        processes: Processes = ALONE,
    ) -> None:
        self._corpus, self._how, self._device, self._processes = corpus, evaluation, device, processes
        self.judges = judges(corpus, most_events)

    def measure(self, model: SessionEncoder, *, whole: bool) -> Validated:
        """Measure a model on the sample or the `whole` part. Raises ModelError for scores that are not finite."""
        measured = evaluate(
            model,
            self._corpus,
            Part.VALIDATION,
            history=self._how.history,
            mask_session=self._how.mask_session,
            device=self._device,
            users=None if whole else self.judges,
            processes=self._processes,
        )
        metrics = measured.measurement().metrics if len(measured.rank) else {}
        return Validated(metrics, measured.rank, measured.events.user.astype(np.int64))


def judges(corpus: Corpus, most_events: int) -> IntArray | None:
    """Users drawn at random, always the same ones, who have about `most_events` events in validation together; None
    where everybody has no more than that, and where `most_events` is 0."""
    if not most_events:
        return None
    played, _ = evaluation_sessions(corpus, Part.VALIDATION)
    events = np.bincount(played.user, weights=played.lengths - 1)
    drawn = np.random.default_rng(0).permutation(np.flatnonzero(events))
    before = np.cumsum(events[drawn]) - events[drawn]
    enough = before >= most_events
    return np.sort(drawn[~enough]) if enough.any() else None
