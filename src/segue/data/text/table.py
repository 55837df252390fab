"""Text files as one table, and its copy in the engine: every line of them is a row of the copy, or is named."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import duckdb

from segue.data.engine import FILE, file_list, literal, one_row, scratch_of
from segue.data.text.header import read_header
from segue.data.text.quoting import SETTINGS, Examination, decide, examine, walk
from segue.data.text.records import BROKEN, Dialect, Quoting
from segue.data.text.survey import Survey, survey
from segue.errors import LogError


@dataclass(frozen=True)
class TextTable:
    """Text files with the same columns, looked through once.

    Attributes:
        files: the files, none of them empty, in the order of reading.
        columns: names of the columns; names may repeat. SQL calls them ``c0``, ``c1``, …
        delimiter, header, quoting: as the settings of the section ``[csv]``, the delimiter recognised.
        surveys: a first look at each file.
    """

    files: tuple[Path, ...]
    columns: tuple[str, ...]
    delimiter: str
    header: bool
    quoting: Quoting | Literal["auto"]
    surveys: tuple[Survey, ...]


@dataclass(frozen=True)
class TextCopy:
    """What became of the lines of a table.

    Attributes:
        dropped: reason → number of lines that were left out.
        notes: what was recognised and is worth saying.
        gaps: file → positions of its lines that were left out, from 0; empty where none were.
        kept: file → number of its rows that were kept; empty where none were left out.
        quoting: the meaning of quotes under which the files were read.
    """

    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    gaps: Mapping[Path, Sequence[int]] = field(default_factory=dict)
    kept: Mapping[Path, int] = field(default_factory=dict)
    quoting: Quoting = "standard"


def open_text(
    files: Sequence[Path],
    *,
    delimiter: str | None = None,
    header: bool = True,
    quoting: Quoting | Literal["auto"] = "auto",
) -> TextTable:
    """Look through text files (also .gz) that share their columns.

    Raises LogError for a file without a first line and for files of unequal columns; UnicodeDecodeError, and the
    errors of gzip, for damaged ones.
    """
    surveys = tuple(survey(file) for file in files)
    quotes = quoting != "off"
    names, sign = read_header(files[0], delimiter, header=header, quotes=quotes)
    for file in files[1:]:
        others, other_sign = read_header(file, delimiter, header=header, quotes=quotes)
        if (others, other_sign) != (names, sign):
            raise LogError(f"{file} has other columns than {files[0].name}; the files of a folder must share theirs")
    return TextTable(tuple(files), tuple(names), sign, header, quoting, surveys)


def copy_text(
    connection: duckdb.DuckDBPyConnection,
    table: TextTable,
    wanted: Mapping[str, str],
    into: str,
    *,
    drop_invalid: bool = False,
) -> TextCopy:
    """Copy columns to the engine's table `into`, in the order of the files and of their lines.

    Args:
        wanted: column of `into` → SQL over ``c0``, ``c1``, … and :data:`segue.data.engine.FILE`.
        drop_invalid: leave out, and count, lines that are no rows.

    Raises LogError that names the first line that is no row, or lines that may be read in two ways; duckdb.Error and
    UnicodeDecodeError for text that is not UTF-8.
    """
    quoting: Quoting = "standard" if table.quoting == "auto" else table.quoting
    dialect = Dialect(table.delimiter, len(table.columns), quoting)
    failure: duckdb.Error | None = None
    taken = False
    if not any(each.mixed and not each.quotes for each in table.surveys):
        try:
            _create(connection, table.files, dialect, table.header, wanted, into)
            taken = True
        except duckdb.InvalidInputException as error:
            if not _is_about_rows(str(error)):
                raise
            failure = error
    if taken and _is_certain(connection, table, into):
        return TextCopy(quoting=quoting)
    found = _closer(table, dialect, drop_invalid=drop_invalid)
    if taken and found.dialect == dialect and not found.bad:
        return _checked(connection, found, table, into)
    return _again(connection, table, found, wanted, into, failure)


def _is_about_rows(message: str) -> bool:
    if "nicode" in message or "encoding" in message:
        return False
    return "CSV Error on Line" in message or "state machine" in message


def _is_certain(connection: duckdb.DuckDBPyConnection, table: TextTable, into: str) -> bool:
    """Whether no row can have gone into a quoted field: there are no quotes, or as many rows as lines."""
    quoted = [each for each in table.surveys if each.quotes]
    if table.quoting != "auto" or not quoted:
        return True
    if len(quoted) < len(table.surveys):
        return False
    (rows,) = one_row(connection, f"SELECT count(*) FROM {into}")
    return bool(rows == sum(each.lines - table.header for each in quoted))


def _closer(table: TextTable, dialect: Dialect, *, drop_invalid: bool) -> Examination:
    """Walk through the lines. Raises LogError for those that are no rows, unless they are to be left out."""
    if table.quoting == "auto":
        found = decide(table.files, dialect, header=table.header)
    else:
        found = examine(table.files, dialect, header=table.header)
    if found.first_bad and (found.hopeless or not drop_invalid):
        raise LogError(_bad_lines(found, hopeless=found.hopeless))
    return found


def _bad_lines(found: Examination, *, hopeless: bool) -> str:
    assert found.first_bad
    file, record = found.first_bad
    if record.problem == BROKEN:
        what = f"line {record.line} has a quote that does not close, or text behind one that does"
        other = "standard" if found.dialect.quoting == "off" else "off"
        remedy = f"mend that line, or say {SETTINGS[other]}"
    else:
        what = f"line {record.line} has {record.found} fields, the header {found.dialect.width}"
        remedy = "mend or quote that line"
    count = sum(found.bad.values())
    others = f" ({count:,} such lines)" if count > 1 else ""
    drop = "" if hopeless else ", or leave such lines out with --drop-invalid"
    return f"{file} cannot be read: {what}{others}; {remedy}{drop}"


def _again(
    connection: duckdb.DuckDBPyConnection,
    table: TextTable,
    found: Examination,
    wanted: Mapping[str, str],
    into: str,
    failure: duckdb.Error | None,
) -> TextCopy:
    """Copy the rows that the walk found, by way of cleaned files where there are bad lines or mixed line ends."""
    if found.bad or any(each.mixed for each in table.surveys):
        with _cleaned(connection, table, found.dialect) as (clean, gaps):
            _create(connection, clean, found.dialect, True, wanted, into, named=table.files)
        return replace(_checked(connection, found, table, into, _mixed(table)), gaps=gaps, kept=found.rows_by_file)
    if failure and table.quoting in ("auto", found.dialect.quoting) and found.dialect.quoting == "standard":
        raise failure
    _create(connection, table.files, found.dialect, table.header, wanted, into)
    return _checked(connection, found, table, into)


def _checked(
    connection: duckdb.DuckDBPyConnection,
    found: Examination,
    table: TextTable,
    into: str,
    notes: Iterable[str] = (),
) -> TextCopy:
    """What became of the lines. Raises LogError where the copy has other rows than the walk found."""
    (rows,) = one_row(connection, f"SELECT count(*) FROM {into}")
    if rows != found.rows:
        raise LogError(
            f"{table.files[0]}: the engine reads {rows:,} rows where the file holds {found.rows:,}; write the log as "
            "Parquet, or quote its fields by the standard"
        )
    said = list(notes)
    if table.quoting == "auto" and found.dialect.quoting != "standard":
        said.append(
            f'quotes are read as csv.quoting = "{found.dialect.quoting}": by the standard some do not close; say so '
            "yourself, or mend them"
        )
    return TextCopy(dict(found.bad), tuple(said), quoting=found.dialect.quoting)


def _mixed(table: TextTable) -> Iterator[str]:
    names = {"\n": "\\n", "\r\n": "\\r\\n", "\r": "\\r"}
    for file, each in zip(table.files, table.surveys, strict=True):
        if each.mixed:
            ends = ", ".join(f"{count:,} {names[end]}" for end, count in each.ends.items())
            yield f"{file.name} has mixed line endings ({ends}); each of them ends a line"


@contextmanager
def _cleaned(
    connection: duckdb.DuckDBPyConnection, table: TextTable, dialect: Dialect
) -> Iterator[tuple[list[Path], dict[Path, list[int]]]]:
    """Copies of the files without header and bad lines, with one kind of line ends, and the positions of bad lines."""
    folder = Path(tempfile.mkdtemp(prefix="text-", dir=scratch_of(connection)))
    clean, gaps = [], {}
    try:
        for number, file in enumerate(table.files):
            clean.append(folder / f"{number}.csv")
            gaps[file] = _clean(file, clean[-1], dialect, header=table.header)
        yield clean, gaps
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clean(file: Path, into: Path, dialect: Dialect, *, header: bool) -> list[int]:
    gaps = []
    with into.open("w", encoding="utf-8", newline="") as clean:
        # A file without a line is refused by the engine: each gets a header, which is passed over.
        clean.write(dialect.delimiter.join("c" * dialect.width) + "\n")
        for position, record in enumerate(walk(file, dialect, header=header)):
            if record.problem:
                gaps.append(position)
            else:
                clean.write(record.text.rstrip("\r\n") + "\n")
    return gaps


def _create(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[Path],
    dialect: Dialect,
    header: bool,
    wanted: Mapping[str, str],
    into: str,
    *,
    named: Sequence[Path] = (),
) -> None:
    """Copy the rows of `files`; `named` are the files that they stand for."""
    columns = ", ".join(f"{sql} AS {name}" for name, sql in wanted.items())
    rows = scan(files, dialect, header=header)
    if named:
        originals = f"CASE {FILE} " + " ".join(
            f"WHEN {literal(str(file))} THEN {literal(str(name))}" for file, name in zip(files, named, strict=True)
        )
        rows = f"(SELECT * REPLACE ({originals} END AS {FILE}) FROM {rows})"
    connection.execute(f"CREATE OR REPLACE TABLE {into} AS SELECT {columns} FROM {rows}")


def scan(files: Sequence[Path], dialect: Dialect, *, header: bool) -> str:
    """The SQL after FROM that reads files under a dialect, every value as text, an empty field as null."""
    quote, escape = {"standard": ('"', '"'), "backslash": ('"', "\\"), "off": ("", "")}[dialect.quoting]
    types = ", ".join(f"'c{number}': 'VARCHAR'" for number in range(dialect.width))
    return (
        f"read_csv({file_list(files)}, auto_detect = false, header = {str(header).lower()}, "
        f"delim = {literal(dialect.delimiter)}, quote = {literal(quote)}, escape = {literal(escape)}, "
        f"strict_mode = true, hive_partitioning = false, filename = '{FILE}', columns = {{{types}}})"
    )
