"""The space of a search over settings: which settings vary, and over which values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """A choice between some values."""

    values: tuple[bool | int | float | str, ...]


@dataclass(frozen=True)
class Between:
    """A number from `low` to `high`, both included; a whole number where both are whole.

    With `log` it is sampled evenly on a logarithmic scale.
    """

    low: float
    high: float
    log: bool = False


Space = Mapping[str, Choice | Between]
"""Setting, such as ``training.learning_rate``, → its range."""


def fixed_schedule(space: Space) -> Space:
    """The space without the schedule of the learning rate, for presets that keep the schedule of the paper."""
    return {key: values for key, values in space.items() if key != "training.schedule"}
