"""Lists for many requests of a file, row by row: nothing of the file or of the lists is held as a whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from segue.errors import RequestError
from segue.serving.answer import Answer
from segue.serving.asking import Understood
from segue.serving.lists_file import SCHEMA, refuse_place, table
from segue.serving.recommender import Recommender
from segue.serving.request_file import rows_of
from segue.serving.vocabulary import Vocabulary
from segue.system.atomic import aside, writing
from segue.system.holding import held
from segue.system.replacing import followed

_ROWS = 50_000
"""Rows of lists that are written together."""
_SHOWN = 3
"""Rows that are named one by one, of each kind."""


@dataclass
class Counted:
    """What became of the rows of a file.

    Attributes:
        requests: rows that are not blank.
        lists: requests that were answered.
        bad: rows that are no request; the first of them are `named`.
        with_unknown_items: lists of requests with items that the model does not know.
        with_warnings: lists of requests of which anything had to be said, unknown items included; what was said of the
            first of them is `noted`.
        empty: lists without an item.
    """

    requests: int = 0
    lists: int = 0
    bad: int = 0
    named: list[str] = field(default_factory=list)
    with_unknown_items: int = 0
    with_warnings: int = 0
    noted: list[str] = field(default_factory=list)
    empty: int = 0

    def refuse(self, number: int, why: object) -> None:
        """Count a row that is no request."""
        self.bad += 1
        if len(self.named) < _SHOWN:
            self.named.append(f"row {number}: {why}")

    def take(self, number: int, answer: Answer, items: Vocabulary) -> None:
        """Count an answer, and what has to be said about its request."""
        self.lists += 1
        self.empty += not len(answer)
        self.with_unknown_items += bool(answer.skipped)
        said = list(answer.warnings)
        if answer.skipped:
            said.insert(0, f"unknown to the model, skipped: {items.in_words(answer.skipped)}")
        self.with_warnings += bool(said)
        if said and len(self.noted) < _SHOWN:
            self.noted.append(f"row {number}: {'; '.join(said)}")

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape."""
        return {
            "requests": self.requests,
            "lists": self.lists,
            "bad_rows": self.bad,
            "first_bad_rows": self.named,
            "with_unknown_items": self.with_unknown_items,
            "with_warnings": self.with_warnings,
            "first_warnings": self.noted,
            "empty_lists": self.empty,
        }


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
        requests: .parquet, .csv or .jsonl with the columns of :data:`segue.serving.request_file.FIELDS`.
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
            counted.take(number, answer, recommender.known_items)
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
        for number, row in rows_of(path):
            counted.requests += 1
            progress(counted.requests)
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
    return {"k": k, **row, "explain": False}
