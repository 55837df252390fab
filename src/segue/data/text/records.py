r"""The records of a text file under one meaning of its quotes, line by line, the broken ones with their reason.

DuckDB reads the files; this walk is for those that it refuses, or whose quoted fields span lines: it says which lines
are no rows, and goes on behind them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

Quoting = Literal["standard", "backslash", "off"]

TOO_FEW = "too few fields"
TOO_MANY = "too many fields"
BROKEN = "broken quotes"

_LONGEST = 2_000_000
"""Most characters of one record, which is what DuckDB takes: a quote that does not close by then never does."""
_PATIENCE = 200_000_000
"""Characters looked at in vain, after quotes that do not close, until the walk gives up on this meaning of quotes."""


class TooBroken(Exception):
    """So many quotes do not close under this meaning of quotes that the file is not worth walking through."""


@dataclass(frozen=True)
class Dialect:
    """What the signs of a file mean.

    Attributes:
        delimiter: what stands between two fields.
        width: number of fields of a row.
        quoting: what a ``"`` means, see ``csv.quoting``.
    """

    delimiter: str
    width: int
    quoting: Quoting

    @cached_property
    def inside(self) -> re.Pattern[str]:
        """From inside a quoted field to its closing quote; no match where the line ends first."""
        return re.compile(r'(?:[^"\\]|\\.)*+"' if self.quoting == "backslash" else r'(?:[^"]|"")*+"', re.DOTALL)

    @cached_property
    def closed(self) -> re.Pattern[str]:
        """A quoted field that opens and closes between two delimiters of one line, up to the second one."""
        sign = re.escape(self.delimiter)
        return re.compile(rf'(?:^|(?<={sign})) *"(?:[^"\\]|""|\\.)*+" *(?={sign}|$)')

    def alone(self, line: str) -> bool:
        """Whether a line is a row by itself: by its delimiters, all of them or those outside of closed quotes.

        As everywhere, one empty field at the end is no field too many.
        """
        line = line.rstrip("\r\n")
        counts = (line.count(self.delimiter), self.closed.sub("", line).count(self.delimiter))
        return self.width - 1 in counts or (self.width in counts and line.endswith(self.delimiter))


@dataclass(frozen=True)
class Record:
    """One row of a file, or a line that is none.

    Attributes:
        line: number of its first line, from 1.
        text: all of it, with its last line end.
        problem: why it is no row; None for a row.
        found: its number of fields; 0 where its quotes are broken.
        doubtful: number of its last line, where most of its lines would be rows by themselves; 0 otherwise.
        quoted: whether a field of its first line is quoted from end to end.
        looked_at: number of characters read to find that its quotes are broken.
    """

    line: int
    text: str
    problem: str | None = None
    found: int = 0
    doubtful: int = 0
    quoted: bool = False
    looked_at: int = 0


def records(lines: Iterable[str], dialect: Dialect) -> Iterator[Record]:
    """The records of a file, blank lines left out, a broken line as a record of its own. Raises TooBroken."""
    source = _Lines(lines)
    vain = 0
    while (line := source.next()) is not None:
        if not line.strip("\r\n") and dialect.width > 1:
            continue
        if dialect.quoting == "off" or '"' not in line:
            yield _counted(Record(source.number, line, found=line.count(dialect.delimiter) + 1), dialect)
            continue
        record = _quoted(source, line, dialect)
        if record.problem == BROKEN:
            vain += record.looked_at
            if vain > _PATIENCE:
                raise TooBroken
        yield _counted(record, dialect)


def _quoted(source: _Lines, line: str, dialect: Dialect) -> Record:
    """The record that begins with a line that holds a quote; where it is broken, `source` goes on behind that line."""
    first, taken, size = source.number, [line], len(line)
    fields, is_open = _scan(line, dialect, inside=False)
    while is_open and size < _LONGEST and (following := source.next()) is not None:
        taken.append(following)
        size += len(following)
        more, is_open = _scan(following, dialect, inside=True)
        fields = fields + more - 1 if more else 0
    quoted = dialect.closed.search(line.rstrip("\r\n")) is not None
    if is_open or not fields:
        source.back(taken[1:])
        return Record(first, line, BROKEN, quoted=quoted, looked_at=size)
    return Record(first, "".join(taken), found=fields, doubtful=_doubt(source, taken, dialect), quoted=quoted)


def _doubt(source: _Lines, taken: list[str], dialect: Dialect) -> int:
    """The number of the last of the lines that make one record, where most of them would be rows; 0 otherwise.

    Not all of them need be: one blank or ragged line among rows that a stray quote has swallowed is no proof of a text.
    """
    written = [line for line in taken if line.strip()]
    rows = sum(map(dialect.alone, written))
    return source.number if rows > 1 and 2 * rows > len(written) else 0


def _counted(record: Record, dialect: Dialect) -> Record:
    """The record with the problem of its number of fields; one empty field at the end is no field too many."""
    width = dialect.width
    if record.problem or record.found == width:
        return record
    if record.found == width + 1 and record.text.rstrip("\r\n").endswith(dialect.delimiter):
        return record
    problem = TOO_FEW if record.found < width else TOO_MANY
    return replace(record, problem=problem)


class _Lines:
    """Lines that can be given back, with the number of the last one."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._again: list[str] = []
        self.number = 0

    def next(self) -> str | None:
        line = self._again.pop() if self._again else next(self._lines, None)
        self.number += line is not None
        return line

    def back(self, lines: list[str]) -> None:
        self._again += reversed(lines)
        self.number -= len(lines)


def _scan(line: str, dialect: Dialect, *, inside: bool) -> tuple[int, bool]:
    """Number of fields on a line, 0 where text follows a closing quote, and whether the last field is still open.

    Args:
        inside: whether the line begins inside a quoted field.
    """
    sign, content = dialect.delimiter, len(line.rstrip("\r\n"))
    fields, position = 1, 0
    while True:
        if not inside:
            start = _behind_blanks(line, position, sign)
            inside = line.startswith('"', start)
            position = start + 1 if inside else position
        if inside:
            end = dialect.inside.match(line, position)
            if not end:
                return fields, True
            inside, position = False, _behind_blanks(line, end.end(), sign)
            if position >= content:
                return fields, False
            if not line.startswith(sign, position):
                return 0, False
        else:
            position = line.find(sign, position, content)
            if position < 0:
                return fields, False
        fields, position = fields + 1, position + len(sign)


def _behind_blanks(line: str, position: int, delimiter: str) -> int:
    """The position behind the blanks there; DuckDB passes over those around a quoted field."""
    while delimiter != " " and line.startswith(" ", position):
        position += 1
    return position
