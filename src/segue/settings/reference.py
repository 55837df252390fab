"""The reference of settings: key, values, default and meaning of every setting, as tables in Markdown.

All of it is read from the configuration classes: the meaning is the docstring under a setting.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from segue.settings.base import Config
from segue.settings.units import Words


@dataclass(frozen=True)
class Entry:
    """One setting, ready for a table.

    Attributes:
        key: the path of the setting, such as ``"model.window.length"``.
        values: what it may be, in words.
        default: its value when nobody sets it, in Markdown.
        meaning: the sentence under it; empty where somebody forgot to write one.
    """

    key: str
    values: str
    default: str
    meaning: str


def entries(config: type[Config], path: str) -> Iterator[Entry]:
    """Every setting of `config`, whose keys stand under `path`; a setting that is a table is followed by its keys."""
    yield from _entries(config, path, {})


def table(config: type[Config], path: str) -> str:
    """The settings of `config` as a table in Markdown; see :func:`entries`."""
    rows = [
        f"| `{each.key}` | {_cell(each.values)} | {_cell(each.default)} | {_cell(each.meaning)} |"
        for each in entries(config, path)
    ]
    return "\n".join(["| key | values | default | meaning |", "|---|---|---|---|", *rows])


def assignments(nested: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Each value of nested keys as one assignment, such as ``model.window.length = 10``."""
    for name, value in nested.items():
        key = f"{path}.{name}" if path else name
        if isinstance(value, Mapping):
            yield from assignments(value, key)
        else:
            yield f"{key} = {_literal(value)}"


def _entries(config: type[Config], path: str, defaults: Mapping[str, Any]) -> Iterator[Entry]:
    """`defaults` are the values that the table around `config` gives to its keys; they stand before its own."""
    for name, field in config.model_fields.items():
        key, inner = f"{path}.{name}", _config_of(field.annotation)
        default = defaults.get(name, field.default)
        if inner is None:
            yield Entry(key, _words(_annotation(field)), _default(field, default), field.description or "")
            continue
        values = "a table of keys" + ("; or unset" if NoneType in get_args(field.annotation) else "")
        shown = "unset" if default is None else "must be set" if field.is_required() else "see its keys"
        yield Entry(key, values, shown, field.description or _first_paragraph(inner))
        if inner.model_config.get("extra") != "allow":
            yield from _entries(inner, key, dict(default) if isinstance(default, Config) else {})


def _config_of(annotation: Any) -> type[Config] | None:
    """The configuration class of a setting that is a table of keys."""
    members = (annotation, *get_args(annotation))
    return next((each for each in members if isinstance(each, type) and issubclass(each, Config)), None)


def _first_paragraph(owner: type) -> str:
    return (owner.__doc__ or "").partition("\n\n")[0]


def _annotation(field: FieldInfo) -> Any:
    """The whole type of a setting: pydantic keeps what ``Annotated`` and ``Field`` say beside the plain type."""
    annotation: Any = field.annotation
    return Annotated[annotation, *field.metadata] if field.metadata else annotation


def _default(field: FieldInfo, value: Any) -> str:
    if field.is_required():
        return "must be set"
    return "unset" if value is None else f"`{_literal(value)}`"


def _words(annotation: Any) -> str:
    """The values of a type in words."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated_words(args[0], args[1:])
    if origin is Literal:
        return _either([json.dumps(value) for value in args])
    if origin in (Union, UnionType):
        words = _either([_words(each) for each in args if each is not NoneType])
        return f"{words}; or unset" if NoneType in args else words
    if origin is tuple:
        return f"a list of {_words(args[0])}"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[annotation]


def _annotated_words(kind: Any, metadata: tuple[Any, ...]) -> str:
    """The values of a type with what ``Annotated`` says beside it; a bound belongs to the number in a union."""
    for each in metadata:
        if isinstance(each, Words):
            return each.text
    if get_origin(kind) in (Union, UnionType):
        members = [each if each is NoneType else Annotated[each, *metadata] for each in get_args(kind)]
        return _words(Union[tuple(members)])  # noqa: UP007  the members are only known here
    bounds = _bounds(metadata)
    return f"{_words(kind)}, {bounds}" if bounds else _words(kind)


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _bounds(metadata: tuple[Any, ...]) -> str:
    """The bounds of a number, such as ``0 to 10``; empty where there are none."""
    limits = [limit for each in metadata for limit in (each.metadata if isinstance(each, FieldInfo) else [each])]
    found = {
        name: _figure(getattr(limit, name))
        for name in ("ge", "gt", "le", "lt")
        for limit in limits
        if hasattr(limit, name)
    }
    if found.keys() == {"ge", "le"}:
        return f"{found['ge']} to {found['le']}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return " and ".join(f"{words[name]} {figure}" for name, figure in found.items())


def _figure(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:g}"


def _literal(value: Any) -> str:
    """The value as it is written in TOML."""
    return json.dumps(value, ensure_ascii=False)


def _cell(text: str) -> str:
    """Text for one cell of a table: on one line, with the signs that Markdown would interpret taken literally."""
    return " ".join(text.replace("``", "`").split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
