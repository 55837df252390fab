"""What a user asks of a run beside the defaults: the keys of a TOML file, and assignments over them."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segue.errors import ConfigError
from segue.settings import Nested, Settings
from segue.settings.base import nearest


def read_overrides(config: Path | None = None, assignments: Sequence[str] = ()) -> Nested:
    """The user's own wishes as nested keys: the TOML file, then each ``section.key=value`` over it.

    Raises ConfigError for a missing file, broken TOML, or an assignment without section or value.
    """
    nested: Nested = _read_toml(config) if config else {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        keys = path.strip().split(".")
        if not equals or len(keys) < 2 or not all(keys):
            raise ConfigError(f"--set {assignment!r}: expected SECTION.KEY=VALUE, such as training.seed=1")
        _assign(nested, keys, _toml_value(text.strip()))
    for section in nested:
        if section not in Settings.model_fields:
            raise ConfigError(f"unknown section '{section}': {nearest(section, list(Settings.model_fields))}")
    return nested


def _assign(nested: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    table = nested
    for place, key in enumerate(keys[:-1], start=1):
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {'.'.join(keys)}: '{'.'.join(keys[:place])}' has a value already, it is no table")
    table[keys[-1]] = value


def _read_toml(path: Path) -> Nested:
    try:
        nested = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the settings file {path}: {os.strerror(error.errno or 0)}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the settings file {path} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the settings file {path} is not valid TOML: {error}") from None
    for section, values in nested.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: '{section}' stands outside a section; write it under [section]")
    return nested


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # no TOML, or TOML beyond what Python reads: numbers of thousands of digits
        return text
