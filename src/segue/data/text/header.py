"""The first line of a text file: its delimiter and the names of its columns."""

from __future__ import annotations

import csv
import re
from itertools import chain
from pathlib import Path

from segue.data.text.survey import as_text
from segue.errors import LogError

_LONGEST = 1 << 20
_QUOTED = re.compile(r'"(?:[^"]|"")*+"')
_TYPED = re.compile(r"(.+):(token|float|token_seq|float_seq)")
"""A column of RecBole's atomic files: its name and its type."""
_VALUE = re.compile(r"-?\d+([.:-]\d+)*([T ]\S+)?")
"""A number, a date or a time: what stands in rows, hardly in a header."""


def read_header(file: Path, delimiter: str | None, *, header: bool, quotes: bool) -> tuple[list[str], str]:
    """Column names and delimiter of a text file; without a header, the columns are called 1, 2, 3, …

    Args:
        delimiter: the delimiter, or None to recognise it.
        quotes: whether quotes enclose names.

    Raises LogError where there is no first line; UnicodeDecodeError and csv.Error.
    """
    with as_text(file) as text:
        first = next((line for line in iter(lambda: text.readline(_LONGEST), "") if line.strip()), "")
        sign = delimiter or _recognised(first, file.name.lower().removesuffix(".gz"))
        if not quotes or len(sign) > 1:
            names = first.rstrip("\r\n").split(sign)
            names = [name[1:-1] if len(name) > 1 and name[0] == name[-1] == '"' else name for name in names]
        else:
            names = next(csv.reader(chain([first], text), delimiter=sign), [])
    if not any(names):
        raise LogError(f"{file} is empty: its first line names no column")
    if not header:
        return [str(place) for place in range(1, len(names) + 1)], sign
    typed = [_TYPED.fullmatch(name) for name in names]
    return [match[1] for match in typed if match] if all(typed) else names, sign


def looks_like_data(names: list[str]) -> bool:
    """Whether a first line holds values rather than names of columns."""
    return any(_VALUE.fullmatch(name.strip()) for name in names)


def _recognised(line: str, name: str) -> str:
    """The delimiter of a line: outside of quoted names, the most frequent of the usual ones."""
    if name.endswith((".tsv", ".inter", ".item", ".user")):
        return "\t"
    bare = _QUOTED.sub("", line)
    free = name.endswith((".txt", ".dat", ".data"))
    if "::" in bare and (free or not any(sign in bare for sign in ",;\t|")):
        return "::"
    best = max(",;\t|", key=bare.count)
    return best if best in bare or not free else " "
