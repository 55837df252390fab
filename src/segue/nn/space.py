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
