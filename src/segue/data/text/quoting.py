"""Which meaning of quotes a text has: decided by counting over all of its lines, never guessed from some of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segue.data.text.records import BROKEN, Dialect, Quoting, Record, TooBroken, records
from segue.data.text.survey import as_text
from segue.errors import LogError

SETTINGS = {
    "standard": "--set csv.quoting=standard (quotes enclose fields)",
    "backslash": '--set csv.quoting=backslash (\\" is a quote inside a field)',
    "off": "--set csv.quoting=off (quotes are letters)",
}


@dataclass
class Examination:
    """What the lines of some files are under one dialect.

    Attributes:
        dialect: the dialect.
        rows_by_file: file → number of its rows.
        quoted: number of records with a field quoted from end to end.
        bad: reason → number of lines that are no rows.
        first_bad, doubtful: the first such record, and the first one of whose lines most would be rows by themselves,
            with their files.
        hopeless: whether the walk was given up.
    """

    dialect: Dialect
    rows_by_file: dict[Path, int] = field(default_factory=dict)
    quoted: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    first_bad: tuple[Path, Record] | None = None
    doubtful: tuple[Path, Record] | None = None
    hopeless: bool = False

    @property
    def rows(self) -> int:
        """Number of rows of all files."""
        return sum(self.rows_by_file.values())

    @property
    def clean(self) -> bool:
        """Whether every line is part of a row, without a doubt."""
        return not (self.bad or self.doubtful or self.hopeless)


def walk(file: Path, dialect: Dialect, *, header: bool) -> Iterator[Record]:
    """The records of a file behind its header, and the header too where one row too many may have gone into it.

    Raises TooBroken, and UnicodeDecodeError for text that is not UTF-8.
    """
    with as_text(file) as text:
        for number, record in enumerate(records(text, dialect)):
            if number or not header or record.doubtful:
                yield record


def examine(files: Sequence[Path], dialect: Dialect, *, header: bool) -> Examination:
    """Walk through all lines of the files under a dialect."""
    found = Examination(dialect)
    try:
        for file in files:
            for record in walk(file, dialect, header=header):
                _count(found, file, record)
    except TooBroken:
        found.hopeless = True
    return found


def _count(found: Examination, file: Path, record: Record) -> None:
    found.quoted += record.quoted
    if record.doubtful:
        found.doubtful = found.doubtful or (file, record)
    if record.problem:
        found.bad[record.problem] = found.bad.get(record.problem, 0) + 1
        found.first_bad = found.first_bad or (file, record)
        return
    found.rows_by_file[file] = found.rows_by_file.get(file, 0) + 1


def decide(files: Sequence[Path], dialect: Dialect, *, header: bool) -> Examination:
    """Find the meaning of quotes under which every line is part of a row, or else the fewest are not.

    The standard goes first, then ``\\"`` where it occurs, then quotes as letters. That last one is not taken where more
    lines hold a well-quoted field than a broken quote: those quotes are no letters.

    Raises LogError where lines are one row by the standard and several rows without quotes.
    """
    standard = examine(files, dialect, header=header)
    if standard.doubtful:
        raise LogError(_two_readings(*standard.doubtful))
    if standard.clean:
        return standard
    others = [_as(dialect, name) for name in ("backslash", "off")]
    found = [examine(files, other, header=header) for other in others]
    if not standard.hopeless and standard.quoted > standard.bad.get(BROKEN, 0):
        found = found[:1]
    for each in found:
        if each.clean:
            return each
    possible = [each for each in (standard, *found) if not (each.hopeless or each.doubtful)]
    return min(possible, key=lambda each: sum(each.bad.values())) if possible else standard


def _as(dialect: Dialect, quoting: Quoting) -> Dialect:
    return Dialect(dialect.delimiter, dialect.width, quoting)


def _two_readings(file: Path, record: Record) -> str:
    first, last = record.line, record.doubtful
    return (
        f"{file}: lines {first} to {last} are one row if quotes enclose fields, and up to {last - first + 1} rows "
        f"if quotes are letters; say which: {SETTINGS['off']} or {SETTINGS['standard']}"
    )
