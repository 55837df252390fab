"""Any table, written in any dialect: rows in are rows read, or the file is refused in one line."""

from __future__ import annotations

import csv
import gzip
import io
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from segue.data import engine
from segue.data.log.read import read_log
from segue.data.text.table import copy_text, open_text
from segue.errors import LogError
from segue.settings import ColumnsSettings, CsvSettings, PreparationSettings

TEXT = st.text(
    st.sampled_from("ab\" ',;\t\\\n\r:|é日") | st.characters(codec="utf-8", exclude_characters="\0"), max_size=6
)
TABLE = st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=8)


def written(table: list[tuple[str, ...]], delimiter: str, quoting: int, backslash: bool, end: str) -> str:
    text = io.StringIO()
    escape = "\\" if backslash or quoting == csv.QUOTE_NONE else None
    writer = csv.writer(
        text, delimiter=delimiter, quoting=quoting, escapechar=escape, doublequote=not backslash, lineterminator=end
    )
    writer.writerow(["first", "second", "third"])
    writer.writerows(table)
    return text.getvalue()


def read(text: bytes, name: str, quoting: str = "auto") -> list[tuple[str, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        with engine.connect(PreparationSettings(memory_limit="256MiB"), Path(folder) / "scratch") as connection:
            table = open_text([file], quoting=CsvSettings(quoting=quoting).quoting)
            copied = copy_text(connection, table, {f"c{n}": f"c{n}" for n in range(len(table.columns))}, "copied")
            assert not copied.dropped
            return connection.execute("FROM copied ORDER BY rowid").fetchall()


def read_or_refused(text: bytes, name: str) -> list[tuple[str, ...]] | str:
    """The rows, or the one line of the refusal."""
    try:
        return read(text, name)
    except LogError as error:
        refusal = str(error)
    assert "\n" not in refusal
    return refusal


def assert_nothing_lost(text: str, rows: list[tuple[str, ...]], delimiter: str) -> None:
    """Under whichever dialect: the rows take up as many lines as the text has, and hold all of its letters in order."""
    again = io.StringIO()
    csv.writer(again, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    _, *lines = filled_lines(text)
    assert len(filled_lines(again.getvalue())) == len(lines)
    signs = re.compile(rf'["\\\s{re.escape(delimiter)}]')
    assert signs.sub("", again.getvalue()) == signs.sub("", "".join(lines))


def filled_lines(text: str) -> list[str]:
    return [line for line in re.split("\r\n|\r|\n", text) if line]


@settings(max_examples=40)
@given(
    table=TABLE,
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
    mark=st.booleans(),
    name=st.sampled_from(["log.csv", "log.csv.gz"]),
)
@example([("a", "b", "c\r"), ("d", "e", '"f')], ",", csv.QUOTE_ALL, "\n", False, "log.csv")
def test_the_standard_is_read_to_the_letter(
    table: list[tuple[str, ...]], delimiter: str, quoting: int, end: str, mark: bool, name: str
) -> None:
    # Python's writer leaves a carriage return bare where it does not quote all: that is no standard text.
    assume(quoting == csv.QUOTE_ALL or not any("\r" in value for row in table for value in row))
    text = (b"\xef\xbb\xbf" if mark else b"") + written(table, delimiter, quoting, False, end).encode()
    expected = [tuple(value or None for value in row) for row in table]
    assert read(text, name, "standard") == expected
    found = read_or_refused(text, name)
    assert found == expected or (isinstance(found, str) and "csv.quoting=" in found)


@settings(max_examples=40)
@given(table=TABLE, delimiter=st.sampled_from(",;\t|"), backslash=st.booleans(), end=st.sampled_from(["\n", "\r\n"]))
def test_no_dialect_loses_a_row_in_silence(
    table: list[tuple[str, ...]], delimiter: str, backslash: bool, end: str
) -> None:
    quoting = csv.QUOTE_MINIMAL if backslash else csv.QUOTE_NONE
    text = written(table, delimiter, quoting, backslash, end)
    found = read_or_refused(text.encode(), "log.csv")
    if not isinstance(found, str):
        assert_nothing_lost(text, found, delimiter)
        if not any("\n" in value or "\r" in value for row in table for value in row):
            assert len(found) == len(table)


@settings(max_examples=40)
@given(lines=st.lists(st.text(st.sampled_from('ab",\\ \t'), max_size=8), min_size=1, max_size=6))
@example(['a,"b', 'c,d"'])
@example(['"a', '"', "b,c"])
def test_any_lines_at_all_are_rows_or_are_named(lines: list[str]) -> None:
    text = "\n".join(["first,second", *lines])
    found = read_or_refused(text.encode(), "log.csv")
    if not isinstance(found, str):
        assert_nothing_lost(text, found, ",")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "utf-8-sig", "cp1252"])
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text("äöüé", min_size=1, max_size=5))
def test_an_encoding_is_read_or_named(encoding: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_bytes(f"user_id,item_id,timestamp\n{name},i,1700000000\n".encode(encoding))
    with engine.connect(PreparationSettings(memory_limit="256MiB"), tmp_path / "scratch") as connection:
        if encoding == "utf-8-sig":
            log = read_log(connection, file, ColumnsSettings())
            assert connection.execute(f"SELECT user_id FROM {log.table}").fetchall() == [(name,)]
        else:
            with pytest.raises(
                LogError, match=r"^[^\n]*(UTF-16 text; convert|not UTF-8 text; convert|is no text)[^\n]*$"
            ):
                read_log(connection, file, ColumnsSettings())
