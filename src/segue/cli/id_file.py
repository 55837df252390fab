"""Files of ids that a command is given: one id per line, or a CSV file with a column ``item_id`` or ``user_id``."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

from segue.data.text.survey import not_utf8
from segue.errors import RequestError
from segue.serving.vocabulary import Vocabulary
from segue.system.reading import read_text

_LARGEST = 1 << 28
"""Most bytes of a file of ids: millions of them."""


def read_ids(path: Path, known: Vocabulary, column: str = "item_id") -> list[str]:
    """The ids of a file, in its order.

    A first line with the `column` makes it a CSV or TSV file, of which that column is read. Otherwise every
    line is one id; a line in quotes is the text between them, unless an id of the model is written with the quotes.
    Empty lines are left out.

    Args:
        known: the ids of the model. column: the name of the column with the ids.

    Raises RequestError for a file that cannot be read, and for a CSV line with another number of fields.
    """
    text = _text(path)
    lines = [line for line in text.split("\n") if line.strip()]
    delimiter = "\t" if lines and "\t" in lines[0] else ","
    header = [name.strip() for name in _fields(lines[0], delimiter)] if lines else []
    if column in header and lines[0].strip() not in known:
        place = header.index(column)
        rows = [row for row in csv.reader(StringIO(text, newline=""), delimiter=delimiter) if any(map(str.strip, row))]
        return [_field(path, row, place, header) for row in rows[1:]]
    return [_unquoted(line.strip(), known) for line in lines]


def _text(path: Path) -> str:
    try:
        return read_text(path, _LARGEST)
    except OSError as error:
        raise RequestError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RequestError(f"{path} is {not_utf8(path)}") from None


def _fields(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error:
        return [line]


def _field(path: Path, row: list[str], place: int, header: list[str]) -> str:
    if len(row) != len(header):
        raise RequestError(
            f"{path}: the line that begins with {row[0]!r} has {len(row)} fields, the header {len(header)}; mend it"
        )
    return row[place].strip()


def _unquoted(line: str, known: Vocabulary) -> str:
    if line in known or not line.startswith('"'):
        return line
    try:
        (text,) = next(csv.reader([line], strict=True))
    except (csv.Error, ValueError):
        return line
    return text
