"""Settings as TOML text: written for files that ``--config`` reads back, and read from anywhere."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segue.errors import ConfigError
from segue.system.reading import read_text

_LARGEST = 1 << 20
"""Most bytes of a settings file; all keys with all their values take some kilobytes."""
DEPTH = 20
"""Most names that a key may join by dots; Python's reader takes minutes for thousands."""
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_DEEP = re.compile(rf"""(?<![\w"'-])(?:{_PART}[ \t]*+\.[ \t]*+){{{DEPTH}}}""")


def from_toml(text: str) -> dict[str, Any]:
    """The values of a TOML text. Raises ValueError with the reason where it is none, or one that nobody writes."""
    deep = _DEEP.search(text)
    if deep:
        line = text.count("\n", 0, deep.start()) + 1
        raise ValueError(f"line {line}: more than {DEPTH} names are joined by dots")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None


def read_toml(path: Path, section: str = "section") -> dict[str, dict[str, Any]]:
    """The tables of a settings file. Raises ConfigError for a file that is none, or a value outside of a table.

    Args:
        section: where a value that stands outside belongs, for that message.
    """
    try:
        nested = from_toml(read_text(path, _LARGEST))
    except OSError as error:
        raise ConfigError(f"cannot read the settings file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the settings file {path} is not UTF-8 text") from None
    except ValueError as error:
        raise ConfigError(f"the settings file {path} is not valid TOML: {error}") from None
    for name, values in nested.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: '{name}' stands outside a section; write it under [{section}]")
    return nested


def as_toml(nested: Mapping[str, Mapping[str, Any]], comment: str = "") -> str:
    """Settings as TOML text, one table per section; a key that is None is left out, since TOML has no null.

    Raises TypeError for a value that TOML cannot hold.
    """
    lines = [f"# {line}" for line in comment.splitlines()]
    for section, keys in nested.items():
        lines += ["", f"[{_key(section)}]"]
        lines += [f"{_key(key)} = {value_as_toml(value)}" for key, value in keys.items() if value is not None]
    return "\n".join(lines).lstrip("\n") + "\n"


def value_as_toml(value: Any) -> str:
    """One value as TOML writes it. Raises TypeError for a value that TOML cannot hold."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        pairs = (f"{_key(key)} = {value_as_toml(inner)}" for key, inner in value.items() if inner is not None)
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(value_as_toml, value))}]"
    raise TypeError(f"TOML has no {type(value).__name__}")


def _key(text: str) -> str:
    return text if text.isascii() and text.replace("_", "").isalnum() else _quoted(text)


def _quoted(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
