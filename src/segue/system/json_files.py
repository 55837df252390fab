"""JSON that somebody else may have written: its cost is bounded, and nothing in it has two meanings."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from segue.system import reading

T = TypeVar("T")

MOST_BYTES = 16 * 2**20
"""Size of the largest JSON file that is read; what Segue writes itself takes a few kilobytes."""
DEEPEST = 64
"""Most levels of lists and objects inside one another."""


def check_regular(path: Path) -> None:
    """Raise ValueError for a pipe, a device or a folder, which could be waited for without end.

    Raises OSError where nothing is. A link to a regular file is one.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path.name} is no regular file")


def read_text(path: Path) -> str:
    """The text of a small file. Raises OSError when it cannot be read or is too large, ValueError for no text."""
    check_regular(path)
    return reading.read_text(path, MOST_BYTES)


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises OSError when it cannot be read, ValueError when it holds anything else."""
    return parse_object(read_text(path))


def parse_object(text: str) -> dict[str, Any]:
    """The object that a JSON text stands for.

    Raises ValueError for anything else: other values, a key that occurs twice, numbers that are not finite, text that
    is no Unicode, and more than DEEPEST levels.
    """
    value = _parsed(text)
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, found {_KINDS.get(type(value), 'a number')}")
    return value


def parse_list(text: str) -> list[Any]:
    """The list that a JSON text stands for. Raises ValueError for anything else, as :func:`parse_object` does."""
    value = _parsed(text)
    if not isinstance(value, list):
        raise ValueError(f"expected a list, found {_KINDS.get(type(value), 'a number')}")
    return value


def _parsed(text: str) -> Any:
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError(f"more than {DEEPEST} levels inside one another") from None
    for part in _walk(value):
        if isinstance(part, str):
            part.encode()  # half a surrogate pair is no text; it could be printed nowhere
    return value


def typed(kind: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass whose fields are the keys of `values`, each of the type that the class declares.

    Raises KeyError for a key that is missing, ValueError for a value of another type.
    """
    given = {
        field.name: values[field.name] for field in fields(cast(Any, kind)) if _needed(field) or field.name in values
    }
    try:
        return cast(T, _adapter(cast(Hashable, kind)).validate_python(given))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(f"{key}: {first['msg'].lower()}, found {first['input']!r:.60}") from None


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, kind))


def _needed(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


_KINDS: dict[type, str] = {list: "a list", dict: "an object", str: "a text", type(None): "null", bool: "true or false"}


def _walk(value: Any) -> Iterator[Any]:
    """Every key and value of a tree. Raises ValueError when it is too deep."""
    level = [value]
    for _ in range(DEEPEST + 1):
        yield from level
        level = [part for each in level for part in _inside(each)]
    if level:
        raise ValueError(f"more than {DEEPEST} levels inside one another")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return (*value.keys(), *value.values())
    return value if isinstance(value, list) else ()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return values


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no finite number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text[:30])
