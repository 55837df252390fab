"""Every line of a text file is a row of the copy, or is named: quotes, line ends, broken lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segue.data import engine
from segue.data.text.table import copy_text, open_text
from segue.errors import LogError
from segue.settings import PreparationSettings

HEAD = "u,i,t\n"


def test_a_plain_file_and_a_field_over_two_lines(rows_of: Any) -> None:
    assert rows_of(f"{HEAD}1,2,3\n\n4,,6\n")[0] == [("1", "2", "3"), ("4", None, "6")]
    assert rows_of(f'{HEAD}1,"2\n2, ""x""",3\n')[0] == [("1", '2\n2, "x"', "3")]


@pytest.mark.parametrize(
    "body",
    [
        '1\t2\t"Heroes\n3\t4\t5\n6\t7\tlive"\n',
        '1\t"Heroes\t3\n4\tlive"\t6\n7\t8\t9\n',
        '1\t2\t"\n3\t4\t12"\n',
        '"a\t2\t3\nb"\t4\t5\n',
    ],
)
def test_lines_that_are_one_row_or_several_are_refused_with_both_settings(rows_of: Any, body: str) -> None:
    text = f"u\ti\tt\n{body}"
    with pytest.raises(LogError, match=r"lines 2 to \d are one row .*csv.quoting=off .*csv.quoting=standard"):
        rows_of(text, "log.tsv")
    assert len(rows_of(text, "log.tsv", quoting="off")[0]) == body.count("\n")
    assert len(rows_of(text, "log.tsv", quoting="standard")[0]) < body.count("\n")


@pytest.mark.parametrize(
    "odd",
    {
        "a blank line": "1,2,3\n\n4,5,6\n",
        "a line that is no row": "1,2,3\ngarbage\n4,5,6\n",
        "a line with too many fields": "1,2,3\n7,8,9,10\n4,5,6\n",
        "an empty field at the end of every line": "1,2,3,\n4,5,6,\n",
    }.values(),
)
@pytest.mark.parametrize("end", ['close"', 'clo, se"'])
@pytest.mark.parametrize("drop_invalid", [False, True])
def test_rows_between_two_stray_quotes_are_never_lost(rows_of: Any, odd: str, end: str, drop_invalid: bool) -> None:
    """One line among them that is no row, or is one too many, proves no text of several lines."""
    text = f'{HEAD}0,0,0\n7,8,"open\n{odd}9,9,{end}\n1,1,1\n'
    with pytest.raises(LogError, match=r"lines 3 to \d+ are one row .*csv.quoting=off"):
        rows_of(text, drop_invalid=drop_invalid)


@pytest.mark.parametrize(
    ("body", "last"),
    [
        ('1,2,"Heroes" live\n4,5,6\n', '"Heroes" live'),
        ('1,2,"Heroes" live\n4,5,12"\n', '"Heroes" live'),
        ('1,2,"open\n4,5,6\n', '"open'),
    ],
)
def test_quotes_that_do_not_close_are_letters(rows_of: Any, body: str, last: str) -> None:
    rows, copied = rows_of(HEAD + body)
    assert (rows[0][2], len(rows)) == (last, 2)
    assert copied.quoting == "off"
    assert 'csv.quoting = "off"' in copied.notes[0]


@pytest.mark.parametrize("field", [r'"a \"b\" c"', r'"\"b\""', r'"a, \"b\", c"', r'"C:\\dir \"x\""'])
def test_quotes_behind_backslashes(rows_of: Any, field: str) -> None:
    rows, copied = rows_of(f"{HEAD}1,{field},3\n4,5,6\n")
    assert rows[0] == ("1", field[1:-1].replace("\\\\", "/").replace("\\", "").replace("/", "\\"), "3")
    assert copied.quoting == "backslash"
    assert rows_of(f"{HEAD}1,{field},3\n4,5,6\n", quoting="backslash")[0] == rows


def test_a_broken_quote_among_good_ones_is_named_or_dropped(rows_of: Any) -> None:
    text = HEAD + '"1","2","3"\n"4","5"x,"6"\n"7","8","9"\n'
    with pytest.raises(LogError, match=r"line 3 has a quote that does not close, or text behind.*csv.quoting=off"):
        rows_of(text)
    rows, copied = rows_of(text, drop_invalid=True)
    assert rows == [("1", "2", "3"), ("7", "8", "9")]
    assert copied.dropped == {"broken quotes": 1}
    assert rows_of(text, quoting="off")[0][1] == ('"4"', '"5"x', '"6"')


def test_short_and_long_lines_are_named_or_dropped(rows_of: Any) -> None:
    text = f"{HEAD}1,2,3\n(3 rows)\n4,5,6,7\n4,5,6,\n7,8,9"
    with pytest.raises(LogError, match=r"line 3 has 1 fields, the header 3 \(2 such lines\).*--drop-invalid"):
        rows_of(text)
    rows, copied = rows_of(text, drop_invalid=True)
    assert [row[0] for row in rows] == ["1", "4", "7"]
    assert copied.dropped == {"too few fields": 1, "too many fields": 1}


def test_a_bad_line_in_a_file_whose_quotes_are_letters(rows_of: Any) -> None:
    text = 'u\ti\tt\n1\t2\t"Heroes" live\n(2 rows)\n4\t5\t6\n'
    rows, copied = rows_of(text, "log.tsv", drop_invalid=True)
    assert rows == [("1", "2", '"Heroes" live'), ("4", "5", "6")]
    assert (copied.quoting, copied.dropped) == ("off", {"too few fields": 1})


@pytest.mark.parametrize("ends", [["\n", "\r\n"], ["\r\n", "\n"], ["\n", "\r"], ["\r\n", "\r", "\n"]])
@pytest.mark.parametrize("field", ["x", '"x, y"'])
def test_mixed_line_ends_are_read_and_said(rows_of: Any, ends: list[str], field: str) -> None:
    lines = ["u,i,t", *(f"{number},{field},{number}" for number in range(5))]
    text = "".join(line + ends[number % len(ends)] for number, line in enumerate(lines))
    rows, copied = rows_of(text)
    assert [row[0] for row in rows] == list("01234")
    assert "mixed line endings" in copied.notes[0]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_other_line_ends_are_nothing_to_speak_of(rows_of: Any, end: str) -> None:
    rows, copied = rows_of(f'{HEAD}1,2,3\n4,"a\n\nb",6'.replace("\n", end))
    assert rows == [("1", "2", "3"), ("4", f"a{end}{end}b", "6")]
    assert copied.notes == ()


def test_an_excel_file_with_line_feeds_inside_of_fields_keeps_them(rows_of: Any) -> None:
    rows, copied = rows_of('u,i,t\r\n1,"a\nb",3\r\n4,5,6\r\n')
    assert rows == [("1", "a\nb", "3"), ("4", "5", "6")]
    assert copied.notes == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ratings.dat", "1::2::3\n4::5::6\n"),
        ("u.data", "1\t2\t3\n4\t5\t6\n"),
        ("clicks.txt", "1 2 3\n4 5 6\n"),
        ("log.csv", "1;2;3\n4;5;6\n"),
    ],
)
def test_delimiters_are_recognised_and_columns_have_places(rows_of: Any, name: str, text: str) -> None:
    assert rows_of(text, name, header=False)[0] == [("1", "2", "3"), ("4", "5", "6")]


def test_a_delimiter_that_is_set(rows_of: Any) -> None:
    assert rows_of("u~i~t\n1,5~2~3\n", delimiter="~")[0] == [("1,5", "2", "3")]


def test_a_quote_that_never_closes_in_a_long_file_is_found_in_time(rows_of: Any) -> None:
    text = HEAD + '"a","b",1\n' * 3000 + '"a","b,1\n' * 30 + '"a","b",1\n' * 3000
    rows, copied = rows_of(text, drop_invalid=True)
    assert len(rows) + sum(copied.dropped.values()) == 6030


def test_a_line_of_well_quoted_fields_that_opens_another_quote_may_be_a_row(rows_of: Any) -> None:
    """Its delimiters are counted outside of the quotes that close on it."""
    with pytest.raises(LogError, match="lines 2 to 3 are one row"):
        rows_of(f'{HEAD}"p,q",2,"open\n5,6,7"\n')


def test_a_row_that_a_quote_of_the_header_swallows_is_named(rows_of: Any) -> None:
    with pytest.raises(LogError, match="lines 1 to 2 are one row"):
        rows_of('u,i,"t\n1,2,3"\n4,5,6\n')


def test_a_swallowed_row_is_not_made_up_for_by_the_row_of_another_file(tmp_path: Path) -> None:
    """One file holds a row less than lines, the other one has no quotes: together they hold as many as the first."""
    files = [tmp_path / "1.csv", tmp_path / "2.csv"]
    files[0].write_text(f'{HEAD}1,2,"open\n4,5,6"\n')
    files[1].write_text(f"{HEAD}7,8,9\n")
    with engine.connect(PreparationSettings(memory_limit="256MiB"), tmp_path / "scratch") as connection:
        table = open_text(files)
        with pytest.raises(LogError, match=r"1\.csv: lines 2 to 3 are one row"):
            copy_text(connection, table, {"c0": "c0"}, "copied")
