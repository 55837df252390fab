"""The rows of a file of requests: every row is read as it is meant, or its place and the reason are said."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from segue.errors import RequestError, first_line
from segue.system.json_files import parse_list, parse_object

FIELDS = ("user", "items", "k", "exclude", "candidates", "history", "exclude_seen", "time", "discover")
"""Columns of a file of requests; none is required, and a missing value counts as none."""
_LISTS = ("items", "exclude", "candidates", "history")
_NUMBERS: dict[str, tuple[Callable[[str], float], ...]] = {
    "k": (int, float),  # frames write 20 as 20.0 where another row has none
    "time": (int, float),
    "discover": (float,),
}
_LONGEST_LINE = 1 << 22
"""Most characters of a line of JSON."""

_Row = dict[str, Any] | str | None
"""A row of a file; text in its place says why there is none, None stands for a blank line."""


def rows_of(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The requests of a file with the numbers of their rows, from 1; text in place of one says why it is none.

    Blank lines count where rows are numbered, and are no requests. Raises RequestError for a file that cannot be read.
    """
    readers: dict[str, Callable[[Path], Iterator[_Row]]]
    readers = {".parquet": _of_parquet, ".csv": _of_csv, ".jsonl": _of_json_lines}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise RequestError(f"{path} is no file of requests by its name: end it in .parquet, .csv or .jsonl")
    try:
        for number, row in enumerate(reader(path), start=1):
            if row is not None:
                yield number, row if isinstance(row, str) else _request(row)
    except OSError as error:
        raise RequestError(f"cannot read {path}: {error.strerror or first_line(error)}") from None
    except (pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"{path} cannot be read ({first_line(error)})") from None


def _request(row: dict[str, Any]) -> dict[str, Any] | str:
    """The values that a row gives; text where one of its columns is none of a request."""
    if unknown := sorted(str(name) for name in row if name not in FIELDS):
        return f"column {unknown[0]!r:.60} is none of {', '.join(FIELDS)}"
    given = {name: value for name, value in row.items() if not _is_missing(value)}
    k = given.get("k")
    if isinstance(k, float) and k.is_integer():
        given["k"] = int(k)  # a column of whole numbers that lacks some is one of fractions
    return given


def _is_missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and value != value)


def _of_parquet(path: Path) -> Iterator[_Row]:
    with pq.ParquetFile(path) as file:
        _refuse_twice(path, file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=4096):
            yield from batch.to_pylist()


def _of_csv(path: Path) -> Iterator[_Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, strict=True)
        header = next((row for row in rows if row), [])
        _refuse_twice(path, header)
        for cells in rows:
            if not cells:
                yield None
            elif len(cells) != len(header):
                yield "it has another number of fields than the header"
            else:
                yield _of_cells(zip(header, cells, strict=True))


def _refuse_twice(path: Path, names: Sequence[str]) -> None:
    """Raise RequestError for a column that is there twice: one of the two would be dropped without a word."""
    for name in names:
        if names.count(name) > 1:
            raise RequestError(f"{path} has more than one column {name!r:.60}; leave one of them")


def _of_cells(cells: Iterator[tuple[str, str]]) -> dict[str, Any] | str:
    try:
        return {name: _typed(name, text) for name, text in cells if text}
    except RequestError as error:
        return str(error)


def _typed(name: str, text: str) -> Any:
    """The value of a cell. Lists are ids separated by commas, or lists in JSON.

    Raises RequestError for a list that begins as JSON and is none: taken apart at its commas it would be ids that
    nobody wrote.
    """
    if name in _LISTS:
        if not text.lstrip().startswith("["):
            return [part for part in text.split(",") if part]
        try:
            return parse_list(text)
        except ValueError as error:
            raise RequestError(f"{name} begin with [ and are no list in JSON ({first_line(error)})") from None
    for kind in _NUMBERS.get(name, ()):
        try:
            return kind(text)
        except ValueError:
            continue
    return text  # where a number is due it is refused, and shown, when it is read as a request


def _of_json_lines(path: Path) -> Iterator[_Row]:
    with path.open(encoding="utf-8-sig") as file:
        while line := file.readline(_LONGEST_LINE):
            if len(line) == _LONGEST_LINE and not line.endswith("\n") and _has_rest(file):
                yield f"it has more than {_LONGEST_LINE:,} characters"
            else:
                yield _of_json(line) if line.strip() else None


def _has_rest(file: TextIO) -> bool:
    """Whether a line goes on; reads to its end."""
    goes_on = False
    while rest := file.readline(_LONGEST_LINE):
        goes_on = goes_on or rest != "\n"
        if rest.endswith("\n"):
            break
    return goes_on


def _of_json(line: str) -> dict[str, Any] | str:
    try:
        return parse_object(line)
    except ValueError as error:
        return f"it is no object in JSON ({first_line(error)})"
