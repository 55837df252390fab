"""What a search over settings may vary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[bool | int | float | str, ...]


@dataclass(frozen=True)
class Between:
    """A number from `low` to `high`, both included; whole where both are; `log`: even on a logarithmic scale."""

    low: float
    high: float
    log: bool = False


Space = Mapping[str, Choice | Between]
"""Setting, such as ``training.learning_rate``, → its range."""


def fixed_schedule(space: Space) -> Space:
    """The same for a preset that is the paper's conditions: their decay of the learning rate is not varied."""
    return {key: values for key, values in space.items() if key != "training.schedule"}
