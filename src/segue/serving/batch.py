"""Lists for many requests of a file, row by row: nothing of the file or of the lists is held as a whole."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segue.errors import RequestError, first_line
from segue.serving.answer import Answer
from segue.serving.asking import Understood
from segue.serving.lists_file import SCHEMA, refuse_place, table
from segue.serving.recommender import Recommender
from segue.system.atomic import aside, writing
from segue.system.holding import held
from segue.system.json_files import parse_object
from segue.system.replacing import followed

FIELDS = ("user", "items", "k", "exclude", "candidates", "history", "exclude_seen", "time", "discover")
"""Columns of a file of requests; none is required, and a missing value counts as none."""
_LISTS = ("items", "exclude", "candidates", "history")
_ROWS = 50_000
"""Rows of lists that are written together."""
_SHOWN = 3
"""Bad rows that are named one by one."""
_LONGEST_LINE = 1 << 22
"""Most characters of a line of CSV or JSON."""


@dataclass
class Counted:
    """What became of the rows of a file: lists written, and rows that are no request, the first of them by name."""

    requests: int = 0
    lists: int = 0
    bad: int = 0
    named: list[str] = field(default_factory=list)

    def refuse(self, number: int, why: object) -> None:
        """Count a row that is no request."""
        self.bad += 1
        if len(self.named) < _SHOWN:
            self.named.append(f"row {number}: {why}")

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape."""
        return {"requests": self.requests, "lists": self.lists, "bad_rows": self.bad, "first_bad_rows": self.named}


def write_lists(
    recommender: Recommender,
    requests: Path,
    out: Path,
    k: int,
    progress: Callable[[int], None] = lambda done: None,
    *,
    overwrite: bool = False,
) -> Counted:
    """Answer every request of a file, and write one row per request and place to a Parquet file.

    Args:
        requests: .parquet, .csv or .jsonl with the columns of :data:`FIELDS`.
        out: the file to write: request (row of the file, from 1), user, place (from 1), item, score.
        k: length of a list where a row gives none.
        progress: called with the number of rows read so far.
        overwrite: whether lists that stand at `out` are replaced.

    Rows that are no request are counted and left out. Raises RequestError for a file that cannot be read, or holds no
    request at all, and where `out` is in use or holds anything else; ArtifactError when it cannot be written.
    """
    refuse_place(out, requests, recommender.artifact.folder, overwrite=overwrite)
    counted = Counted()
    with held(out, RequestError), writing(out), aside(followed(out)) as new, pq.ParquetWriter(new, SCHEMA) as file:
        rows: list[tuple[Any, ...]] = []
        for number, user, answer in _answers(recommender, requests, k, counted, progress):
            counted.lists += 1
            rows += [(number, user, place, e.item, e.score) for place, e in enumerate(answer, start=1)]
            if len(rows) >= _ROWS:
                file.write_table(table(rows))
                rows = []
        file.write_table(table(rows))
        if not counted.lists:
            found = f"{counted.requests} rows, none of them a request" if counted.requests else "no row"
            raise RequestError(f"{requests} holds {found}; {'; '.join(counted.named) or 'write one row per request'}")
    return counted


def _answers(
    recommender: Recommender, path: Path, k: int, counted: Counted, progress: Callable[[int], None]
) -> Iterator[tuple[int, str | None, Answer]]:
    """Number, user and answer of every row that is a request, in the order of the file."""
    waiting: deque[tuple[int, str | None]] = deque()

    def understood() -> Iterator[Understood]:
        for number, row in _rows(path):
            counted.requests = number
            progress(number)
            try:
                request = recommender.understand(_request(row, k))
            except RequestError as error:
                counted.refuse(number, error)
                continue
            waiting.append((number, request.user))
            yield request

    for answer in recommender.recommend_many(understood()):
        number, user = waiting.popleft()
        yield number, user, answer


def _request(row: dict[str, Any] | str, k: int) -> dict[str, Any]:
    """A row as a request. Raises RequestError for what is none."""
    if isinstance(row, str):
        raise RequestError(row)
    if unknown := sorted(str(name) for name in row if name not in FIELDS):
        raise RequestError(f"column {unknown[0]!r:.60} is none of {', '.join(FIELDS)}")
    given = {name: value for name, value in row.items() if value is not None}
    return {"k": k, **given, "explain": False}


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The rows of a file with their numbers, from 1; text in place of a row says why there is none."""
    readers = {".parquet": _of_parquet, ".csv": _of_csv, ".jsonl": _of_json_lines}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise RequestError(f"{path} is no file of requests by its name: end it in .parquet, .csv or .jsonl")
    try:
        yield from enumerate(reader(path), start=1)
    except OSError as error:
        raise RequestError(f"cannot read {path}: {error.strerror or first_line(error)}") from None
    except (pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"{path} cannot be read ({first_line(error)})") from None


def _of_parquet(path: Path) -> Iterator[dict[str, Any] | str]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=4096):
            yield from batch.to_pylist()


def _of_csv(path: Path) -> Iterator[dict[str, Any] | str]:
    """Lists stand in one field, their ids separated by commas; an empty field counts as none."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file, strict=True):
            if None in row or None in row.values():
                yield "it has another number of fields than the header"
            else:
                yield {name: _typed(name, text) for name, text in row.items() if text}


def _typed(name: str, text: str) -> Any:
    if name in _LISTS:
        return [part for part in text.split(",") if part]
    kind = {"k": int, "time": int, "discover": float}.get(name, str)
    try:
        return kind(text)
    except ValueError:
        return text  # refused, and shown, where it is read as a request


def _of_json_lines(path: Path) -> Iterator[dict[str, Any] | str]:
    with path.open(encoding="utf-8") as file:
        while line := file.readline(_LONGEST_LINE):
            if line.strip():
                yield _of_json(line)


def _of_json(line: str) -> dict[str, Any] | str:
    try:
        return parse_object(line)
    except ValueError as error:
        return f"it is no object in JSON ({first_line(error)})"
