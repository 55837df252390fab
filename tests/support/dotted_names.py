"""Dotted names such as ``segue.graph.tables.EdgeTables`` as they stand in pages, and what they lead to."""

from __future__ import annotations

import importlib
import re
from typing import Any


def resolve(name: str) -> Any:
    """The module, class, function or attribute of that dotted name. Raises ModuleNotFoundError or AttributeError."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            found = getattr(found, attribute)
        return found
    raise ModuleNotFoundError(name)


def code_spans(text: str) -> list[str]:
    """What stands between single backticks on a page."""
    return re.findall(r"`([^`\n]+)`", text)


def names_in(text: str) -> list[str]:
    """The dotted names of Segue in the code spans of a page, each once."""
    return sorted({name for code in code_spans(text) for name in re.findall(r"(?<![\w.])segue(?:\.\w+)+", code)})
