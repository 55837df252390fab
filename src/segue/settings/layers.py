"""Settings in layers, the later ones over the earlier ones.

Precedence: defaults, then what the model's preset asks for, then ``--config FILE.toml``, then ``--set key=value``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segue.settings.sections import Settings

Nested = dict[str, dict[str, Any]]
"""Section → key → value, or a table of keys where a setting has keys of its own (``model.window.length``)."""


def compose(*layers: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Settings from nested keys, later layers over earlier ones. Raises ConfigError on the first mistake."""
    return Settings.parse(merged(*layers))


def merged(*layers: Mapping[str, Mapping[str, Any]]) -> Nested:
    """Nested keys, later layers over earlier ones; nothing is checked."""
    nested: Nested = {}
    for layer in layers:
        for section, values in layer.items():
            nested[section] = _over(nested.get(section, {}), values)
    return nested


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` wins key by key, also inside tables that both have."""
    both = {key: _over(below[key], value) for key, value in above.items() if _are_tables(below.get(key), value)}
    return {**below, **above, **both}


def _are_tables(*values: Any) -> bool:
    return all(isinstance(value, Mapping) for value in values)
