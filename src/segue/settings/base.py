"""The base of every configuration: frozen, typed, unknown keys refused by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from segue.errors import ConfigError

_LONGEST_SHOWN = 100
"""Largest number of characters of a wrong value that a message repeats."""


class Config(BaseModel):
    """A frozen set of named settings. Build one from untrusted input with :meth:`parse`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _over_default(cls, value: Any, info: ValidationInfo) -> Any:
        """Let a table for a nested configuration change only the keys it names; the others stay as they are here."""
        default = cls.model_fields[info.field_name].default if info.field_name else None
        if isinstance(default, Config) and isinstance(value, Mapping):
            return {**default.model_dump(), **value}
        return value

    @classmethod
    def parse(cls, values: Mapping[str, Any], section: str = "") -> Self:
        """Validate `values`; a mistake becomes a ConfigError of one line that names the key.

        Args:
            values: the keys as read from TOML or from ``--set``.
            section: the section of the keys, for the message (``"training"``).
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError(_one_line(cls, error, section)) from None


def nearest(name: str, known: list[str]) -> str:
    """A hint naming the closest known key, or the list of all of them."""
    close = closest(name, known)
    return f"did you mean '{close}'?" if close is not None else f"known keys: {', '.join(known)}"


def closest(name: str, known: list[str]) -> str | None:
    """The known name that is closest, whatever its case; None where none is close."""
    lowered = {each.lower(): each for each in reversed(known)}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.5)
    return lowered[close[0]] if close else None


def _one_line(cls: type[Config], error: ValidationError, section: str) -> str:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join([section, *path] if section else path)
    if first["type"] == "extra_forbidden":
        owner = cls
        for part in path[:-1]:
            owner = _table(owner, part)
        return f"unknown setting '{key}': {nearest(path[-1], list(owner.model_fields))}"
    problem = first["msg"].removeprefix("Value error, ").lower()
    if first["type"] == "model_type":
        problem = "expected a table of keys"
    return f"setting '{key}': {problem}, found {shortened(first['input'])}"


def _table(owner: type[Config], name: str) -> type[Config]:
    """The configuration that a setting holds, also where it may be unset."""
    annotation = owner.model_fields[name].annotation
    return next(
        each for each in (annotation, *get_args(annotation)) if isinstance(each, type) and issubclass(each, Config)
    )


def shortened(value: Any) -> str:
    """A value as Python writes it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
