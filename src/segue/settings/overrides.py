"""Overrides: the settings that a user chooses in a TOML file or by assignments, and how they change the defaults."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from segue.errors import ConfigError
from segue.settings.base import nearest, shortened
from segue.settings.layers import Nested, merged
from segue.settings.sections import Settings
from segue.settings.toml import DEPTH, from_toml, read_toml, value_as_toml

OF_THE_MACHINE = ("preparation.memory_limit", "training.device", "training.threads")
"""Settings that say what a run takes of its machine; a model that is worked on elsewhere may need other ones."""


def read_overrides(config: Path | None = None, assignments: Sequence[str] = ()) -> Nested:
    """The settings that the user chose, as nested keys: the TOML file, then each ``section.key=value`` over it.

    Raises ConfigError for a missing file, broken TOML, or an assignment without section or value.
    """
    nested: Nested = read_toml(config) if config else {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        keys = path.strip().split(".")
        if not equals or not 2 <= len(keys) <= DEPTH or not all(keys):
            raise ConfigError(f"--set {shortened(assignment)}: expected SECTION.KEY=VALUE, such as training.seed=1")
        _assign(nested, keys, _toml_value(text.strip()))
    for section in nested:
        if section not in Settings.model_fields:
            raise ConfigError(f"unknown section '{section}': {nearest(section, list(Settings.model_fields))}")
    return nested


def as_option(key: str, value: str | Sequence[str]) -> str:
    """The option that gives a setting this value, quoted for a shell: what messages advise.

    A text that TOML, or the blanks around it, would make something else of is quoted for TOML too.
    """
    plain = isinstance(value, str) and value == value.strip() and value.isprintable() and _toml_value(value) == value
    text = value if plain else value_as_toml(value)
    return f"--set {shlex.quote(f'{key}={text}')}"


def changed(settings: Settings, *layers: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Complete settings with other values for some keys, checked again. Raises ConfigError for a mistake."""
    return Settings.parse(merged(settings.model_dump(mode="json"), *layers))


def on_this_machine(settings: Settings, chosen: Nested) -> Settings:
    """The settings of a model with other ones of :data:`OF_THE_MACHINE`. Raises ConfigError for any other key."""
    for key in sorted(dotted_keys(chosen) - {*OF_THE_MACHINE}):
        raise ConfigError(
            f"setting '{key}' belongs to the model, which keeps its own; what may be set here is"
            f" {', '.join(OF_THE_MACHINE)}"
        )
    return changed(settings, chosen)


def nested_from(values: Mapping[str, Any]) -> Nested:
    """Nested keys from dotted ones: ``{"model.dim": 8}`` → ``{"model": {"dim": 8}}``."""
    nested: Nested = {}
    for key, value in values.items():
        _assign(nested, key.split("."), value)
    return nested


def dotted_keys(nested: Mapping[str, Any]) -> frozenset[str]:
    """The keys of nested settings, dotted, those of inner tables included: ``model.window.length``."""
    keys: set[str] = set()
    for key, value in nested.items():
        keys |= {f"{key}.{inner}" for inner in dotted_keys(value)} if isinstance(value, Mapping) else {key}
    return frozenset(keys)


def selected(settings: Settings, keys: Collection[str]) -> Nested:
    """Only these dotted keys of complete settings, in the order of the sections, as a file for ``--config`` has them.

    The result lacks keys that the settings leave at the default of a model's own option.
    """
    whole = settings.model_dump(mode="json")
    nested: Nested = {}
    for key in _in_order(whole, keys):
        value: Any = whole
        for name in key.split("."):
            value = value[name]
        _assign(nested, key.split("."), value)
    return nested


def _in_order(nested: Mapping[str, Any], keys: Collection[str], prefix: str = "") -> list[str]:
    ordered: list[str] = []
    for name, value in nested.items():
        key = f"{prefix}{name}"
        if key in keys:
            ordered.append(key)
        elif isinstance(value, Mapping):
            ordered += _in_order(value, keys, f"{key}.")
    return ordered


def _assign(nested: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    table = nested
    for depth, key in enumerate(keys[:-1], start=1):
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {'.'.join(keys)}: '{'.'.join(keys[:depth])}' has a value already, it is no table")
    table[keys[-1]] = value


def _toml_value(text: str) -> Any:
    try:
        return from_toml(f"value = {text}")["value"]
    except ValueError:  # no TOML, or TOML beyond what Python reads: numbers of thousands of digits
        return text
