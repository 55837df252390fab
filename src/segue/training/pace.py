"""How fast a training goes: the size of batches, the length of passes and epochs, when the rate falls."""

from __future__ import annotations

import math
from functools import cached_property

from segue.data.loader import Loader
from segue.settings import TrainingSettings

SMALLEST_BATCH = 16
"""Events of the smallest batch that `pass_steps` makes."""
STUCK_PASSES = 2
"""Passes without a better validation after which schedule "step" lowers the rate where an epoch is several passes."""


class Pace:
    """The pace that the settings ask for on one train part."""

    def __init__(self, training: TrainingSettings, loader: Loader) -> None:
        self.training, self.loader = training, loader

    @cached_property
    def batch_events(self) -> int:
        """Events per batch, fewer than the settings say where a pass would have fewer steps than `pass_steps`."""
        asked, fewest = self.training.batch_events, self.training.pass_steps
        if not fewest or self._steps(asked) >= fewest:
            return asked
        return min(asked, max(self.loader.n_events // fewest, SMALLEST_BATCH))

    @cached_property
    def steps(self) -> int:
        """Steps of a pass; it reads a part of the log where that is longer than `pass_events`."""
        return self._steps(self.batch_events)

    @cached_property
    def pass_events(self) -> float:
        """Approximate events of a pass."""
        return self.loader.n_events * self.steps / max(len(self.loader.plan(self.batch_events)), 1)

    @cached_property
    def passes(self) -> int:
        """Passes that count as one epoch for the schedule and the end (`epoch_steps`)."""
        if not self.training.epoch_steps:
            return 1
        return max(1, round(self.training.epoch_steps / max(self.steps, 1)))

    def _steps(self, batch_events: int) -> int:
        steps, most = len(self.loader.plan(batch_events)), self.training.pass_events
        return min(steps, math.ceil(most / batch_events)) if most else steps

    def without_better(self, done: int, best: int) -> int:
        """Passes since the best one; those of the first epoch do not count where an epoch is several passes."""
        return done - max(best, self.passes if self.passes > 1 else 0)

    def falls(self, done: int, best: int, *, stuck: bool) -> bool:
        """Whether the rate falls after `done` passes, of which `best` was the best and the last may be `stuck`."""
        stepped = done % (self.training.decay_every * self.passes) == 0
        # A short log is learned long before as many steps are over as the paper takes for a long one.
        waited = self.without_better(done, best) if stuck and self.passes > 1 else 0
        learned = waited > 0 and waited % STUCK_PASSES == 0
        return {"constant": False, "plateau": stuck, "step": stepped or learned}[self.training.schedule]
