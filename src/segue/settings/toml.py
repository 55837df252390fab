"""Settings as TOML text, for files that ``--config`` reads back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def as_toml(nested: Mapping[str, Mapping[str, Any]], comment: str = "") -> str:
    """Settings as TOML text, one table per section; a key that is None is left out, since TOML has no null.

    Raises TypeError for a value that TOML cannot hold.
    """
    lines = [f"# {line}" for line in comment.splitlines()]
    for section, keys in nested.items():
        lines += ["", f"[{_key(section)}]"]
        lines += [f"{_key(key)} = {_value(value)}" for key, value in keys.items() if value is not None]
    return "\n".join(lines).lstrip("\n") + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        pairs = (f"{_key(key)} = {_value(inner)}" for key, inner in value.items() if inner is not None)
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    raise TypeError(f"TOML has no {type(value).__name__}")


def _key(text: str) -> str:
    return text if text.isascii() and text.replace("_", "").isalnum() else _quoted(text)


def _quoted(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
