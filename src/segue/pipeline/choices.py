"""What ``segue fit`` chooses from the train part where the user left it open: each value with its reason.

Validation decides two more things, see :mod:`segue.pipeline.choosing`. Nothing here knows test sessions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from segue import models
from segue.data.batches import Window
from segue.data.corpus import Corpus, Sessions
from segue.graph.half_lives import GAPS, HalfLives
from segue.settings import Settings
from segue.settings.units import DAY, HOUR

COVERED = 0.99
"""Share of the prefixes of train that the window holds whole."""
LONGEST = 100
"""Longest window that is chosen: a longer one costs every event more, and old items of a session say little."""
DIMS = (128, 64, 32)
"""Sizes of the vectors that are chosen, the default first."""
NUMBERS_PER_EVENT = 8
"""Most numbers that the vectors of items and users may hold per train event of a small log."""
SMALL_LOG = 100_000
"""Train events from which the default size stands: no smaller one has been measured there."""
PRESET, EPOCHS = "model.preset", "epochs"
_UNITS = (("d", DAY), ("h", HOUR), ("min", 60_000), ("s", 1_000), ("ms", 1))


@dataclass(frozen=True)
class Choice:
    """One thing that was chosen.

    Attributes:
        setting: its key, such as ``model.window.length``; "epochs" for the number of epochs that were kept.
        value: what was chosen. reason: why, in words that follow a colon.
    """

    setting: str
    value: int | str
    reason: str

    @property
    def line(self) -> str:
        """The choice and its reason in one line."""
        return f"{self.setting} = {self.value}: {self.reason}"

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape."""
        return asdict(self)


@dataclass(frozen=True)
class LeftOpen:
    """What the user left open of what can be chosen.

    Attributes:
        settings: keys of :data:`CHOSEN`.
        memory: the complete settings of the counts alone, where it is open whether the vectors beside them pay.
    """

    settings: frozenset[str]
    memory: Settings | None = None


def from_train(corpus: Corpus, settings: Settings, left: LeftOpen) -> list[Choice]:
    """The choices that the train part decides, in the order of :data:`CHOSEN`; one that nothing speaks for is left out.

    Args:
        settings: the complete settings of the run, which hold the defaults of what is left open.
    """
    window: Window = models.load(settings.model.name).Config.parse(settings.model.options).window
    found = (choose(corpus, window) for setting, choose in CHOSEN.items() if setting in left.settings)
    return [choice for choice in found if choice is not None]


def duration(milliseconds: float) -> str:
    """A duration as a setting has it, to two digits: ``"3.2d"``. A third digit of a half-life would mean nothing."""
    amount = min(max(milliseconds, 1.0), 9e14)
    unit, size = next((unit, size) for unit, size in _UNITS if amount >= size)
    return f"{float(f'{amount / size:.2g}'):.15g}{unit}"


def _window_length(corpus: Corpus, window: Window) -> Choice | None:
    """The window that holds `COVERED` of the prefixes whole, not below the default and at most `LONGEST`.

    A session of n items has prefixes of 1 to n - 1 items.
    """
    longest = np.bincount(np.maximum(corpus.train.lengths - 1, 0))
    prefixes = longest[::-1].cumsum()[::-1][1:]
    if not prefixes.sum():
        return None
    shares = prefixes.cumsum() / prefixes.sum()
    needed = int(np.searchsorted(shares, COVERED)) + 1
    value = min(max(needed, window.length), LONGEST)
    covered = f"{_percent(shares[min(value, len(shares)) - 1])} of the prefixes of train are no longer"
    return Choice("model.window.length", value, f"the longest that is chosen; {covered}" if value < needed else covered)


def _window_history(corpus: Corpus, window: Window) -> Choice | None:
    """The default; the reason says for how many users it is the whole past."""
    train = corpus.train
    events = np.bincount(train.user, weights=train.lengths)
    events = events[events > 0]
    if not len(events):
        return None
    covered = _percent(float(np.mean(events <= window.history)))
    return Choice("model.window.history", window.history, f"the default; {covered} of the users of train have no more")


def _history_half_life(corpus: Corpus, _: Window) -> Choice | None:
    half_life = _half_lives(corpus.train).history
    if half_life <= GAPS:
        return None  # no user of train has two sessions
    gap = duration(half_life / GAPS)
    reason = f"five times the median gap between two sessions of one user in train, {gap}"
    return Choice("model.history_half_life", duration(half_life), reason)


def _trend_half_life(corpus: Corpus, _: Window) -> Choice:
    half_life = _half_lives(corpus.train).recent
    reason = f"five times the median gap between two events of one item in train, {duration(half_life / GAPS)}"
    if half_life <= HOUR:
        reason = "the shortest; half of the events of an item in train follow the one before within 12 minutes"
    return Choice("model.trend_half_life", duration(half_life), reason)


def _dim(corpus: Corpus, _: Window) -> Choice:
    """The largest size under which vectors hold at most `NUMBERS_PER_EVENT` numbers per train event, else the least."""
    rows, events = corpus.n_items + corpus.n_users, max(len(corpus.train.items), 1)
    if events >= SMALL_LOG:
        return Choice("model.dim", DIMS[0], f"the default; train has {SMALL_LOG:,} events or more")
    fits = [dim for dim in DIMS if rows * dim <= NUMBERS_PER_EVENT * events]
    value = fits[0] if fits else DIMS[-1]
    each = rows * value / events
    found = f"{rows:,} items and users have {each:.2g} numbers per event of train, {NUMBERS_PER_EVENT} are the most"
    return Choice("model.dim", value, found if fits else f"the least that is chosen; {found}")


CHOSEN: Mapping[str, Callable[[Corpus, Window], Choice | None]] = {
    "model.window.length": _window_length,
    "model.window.history": _window_history,
    "model.history_half_life": _history_half_life,
    "model.trend_half_life": _trend_half_life,
    "model.dim": _dim,
}
"""Key of a setting that train decides → its rule; None where train says nothing."""
OF_VECTORS = frozenset({"model.dim"})
"""Those of them that mean nothing to the counts alone."""


def _half_lives(train: Sessions) -> HalfLives:
    return HalfLives.of(train, None, None)


def _percent(share: float) -> str:
    """The share, cut to one digit: what does not hold for all is not called 100 %."""
    return f"{math.floor(1000 * share + 1e-9) / 10:g} %"
