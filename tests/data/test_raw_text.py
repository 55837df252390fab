"""Bad raw files of the named data sets: one line that names file and line; or the lines are left out and counted."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.data import sources
from segue.data.log.check import CheckReport, check_log
from segue.errors import UserMistake
from segue.settings import compose

START = 1_396_900_000
NAMES = {
    "reddit": "reddit_data.csv",
    "xing": "interactions.csv",
    "lastfm": "userid-timestamp-artid-artname-traid-traname.tsv",
}
HEADERS = {
    "reddit": "username,subreddit,utc",
    "xing": "user_id\titem_id\tinteraction_type\tcreated_at",
    "lastfm": None,
}
LINES: dict[str, Callable[[int], str]] = {
    "reddit": lambda n: f'u{n % 4},"r{n % 3}",{START + 60 * n}',
    "xing": lambda n: f"{n % 4}\t{n % 3}\t1\t{START + 3600 * n}",
    "lastfm": lambda n: f"u{n % 4}\t2009-05-04T{n % 24:02}:08:57Z\ta{n % 3}\tname\t\ttrack",
}


def lines_of(name: str, count: int = 200) -> list[str]:
    header = HEADERS[name]
    return ([header] if header else []) + [LINES[name](n) for n in range(count)]


def check(name: str, folder: Path, data: bytes, *, drop: bool = False, packed: bool = False) -> CheckReport:
    file = folder / (NAMES[name] + (".gz" if packed else ""))
    file.write_bytes(data)
    source = sources.open_source(name, file)
    return check_log(source, compose(source.settings, {"preparation": {"drop_invalid": drop}}), folder / "scratch")


BAD_LINES = {
    "reddit": ["x,y,abc", "x,y,null", "x,y,", ",y,5", "x,,5", "x,y", "x,y,5,6", "x,y,1e99", "x\0,y,5", 'x,"y"z,5', "x"],
    "xing": [
        "1\t2\t1\tnull",
        "1\t2\t1\t",
        "\t2\t1\t5",
        "1\t\t1\t5",
        "1\t2\tx\t5",
        "1\t2\t\t5",
        "1\t2",
        "1\t2\t1\t5\t6",
        "1\t2\t1\t1e99",
        "1\x00\t2\t1\t5",
        "1\t2\t99999999999\t5",
    ],
    "lastfm": [
        "u\tyesterday\ta\tn\t\tt",
        "u\t\ta\tn\t\tt",
        "\t2009-05-04T23:08:57Z\ta\tn\t\tt",
        "u",
        "u\tnull\ta",
        "u\t2009-13-04T23:08:57Z\ta\tn\t\tt",
        "u\x00\t2009-05-04T23:08:57Z\ta\tn\t\tt",
        "u\t1e99\ta\tn\t\tt",
        "one line of prose",
        "u,2009-05-04T23:08:57Z,a,n",
        "u\t99999999999999999999\ta\tn\t\tt",
    ],
}


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in BAD_LINES.items() for line in lines])
def test_a_bad_line_is_named_or_left_out_and_counted(tmp_path: Path, name: str, line: str) -> None:
    lines = lines_of(name)
    data = "\n".join([*lines[:100], line, *lines[100:], ""]).encode()
    with pytest.raises(UserMistake, match=rf"{re.escape(NAMES[name])}: line 101 .*--drop-invalid") as caught:
        check(name, tmp_path, data)
    assert "\n" not in str(caught.value)
    report = check(name, tmp_path, data, drop=True)
    assert report.rows == 200
    assert report.facts.rows_dropped == 1
    assert report.facts.rows_read == report.rows + 1


def test_a_good_file_is_read_whole_with_any_line_ends(tmp_path: Path) -> None:
    for name in NAMES:
        for end in ("\n", "\r\n"):
            report = check(name, tmp_path, end.join([*lines_of(name), ""]).encode())
            assert (report.rows, report.items, report.facts.rows_dropped) == (200, 3, 0)
        packed = gzip.compress("\n".join(lines_of(name)).encode())
        assert check(name, tmp_path, packed, packed=True).rows == 200


BAD_FILES = {
    "empty": b"",
    "a header alone": b"username,subreddit,utc\n",
    "blank lines": b"\n\n\n",
    "noise": bytes(range(256)) * 40,
    "NUL bytes": b"\0" * 5000,
    "UTF-16": "username,subreddit,utc\na,b,5\n".encode("utf-16"),
    "another header": b"a,b,c\n1,2,3\n",
    "the header twice in one": b"username,username,utc\na,b,5\n",
    "an open quote": b'username,subreddit,utc\na,"b,5\nc,d,6\n',
    "a page": b"<!DOCTYPE html>\n<html><body>Not found</body></html>\n",
    "an archive": b"PK\x03\x04" + bytes(range(1, 200)) * 20,
    "no line end": b"username,subreddit,utc",
    "one field of megabytes": b"username,subreddit,utc\na," + b"b" * 3_000_000 + b",5\n",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("what", BAD_FILES)
def test_a_bad_file_is_one_line(tmp_path: Path, name: str, drop: bool, what: str) -> None:
    with pytest.raises(UserMistake) as caught:
        check(name, tmp_path, BAD_FILES[what], drop=drop)
    assert "\n" not in str(caught.value)
    assert NAMES[name] in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_packed_file_that_was_cut_off_is_one_line(tmp_path: Path, name: str) -> None:
    packed = gzip.compress("\n".join(lines_of(name, 5000)).encode())
    with pytest.raises(UserMistake, match="not a complete gzip file"):
        check(name, tmp_path, packed[: len(packed) // 2], packed=True)
    with pytest.raises(UserMistake, match="not a complete gzip file"):
        check(name, tmp_path, b"no gzip", packed=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_in_the_place_of_the_file_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / NAMES[name]).mkdir()
    for path in (tmp_path, tmp_path / NAMES[name]):
        with pytest.raises(UserMistake, match="no file"):
            sources.open_source(name, path)


@pytest.mark.parametrize("drop", [False, True])
def test_a_quote_that_swallows_lines_is_refused_always(tmp_path: Path, drop: bool) -> None:
    lines = lines_of("reddit")
    with pytest.raises(UserMistake, match="line 101 has a quote that does not close; mend it: the lines behind it"):
        check(
            "reddit",
            tmp_path,
            "\n".join([*lines[:100], 'x,"y,5', *lines[100:]]).encode().replace(b'"r', b"r").replace(b'",', b","),
            drop=drop,
        )
    two = ["username,subreddit,utc", 'a,"b,5', "c,d,6", 'e",f,7', "g,h,8"]
    with pytest.raises(UserMistake, match="line 2 "):
        check("reddit", tmp_path, "\n".join([*two, ""]).encode(), drop=drop)
    two = ["username,subreddit,utc", 'a,"b,5', "c,d,6", 'e",7', "g,h,8"]
    with pytest.raises(UserMistake, match="line 2 has a quoted field that goes on in the next lines; mend its quotes"):
        check("reddit", tmp_path, "\n".join([*two, ""]).encode(), drop=drop)


GOOD = {
    "transactions": {"household_id": [1], "basket_id": [1], "product_id": [1], "transaction_timestamp": [START]},
    "products": {"product_id": [1], "product_type": ["x"], "product_category": ["y"], "department": ["z"]},
    "demographics": {"household_id": [1]},
}


@pytest.mark.parametrize("file", GOOD)
@pytest.mark.parametrize(
    "damage", ["cut", "noise", "empty", "other columns", "lists", "text", "null", "NUL bytes", "csv"]
)
def test_bad_files_of_complete_journey_are_one_line(tmp_path: Path, file: str, damage: str) -> None:
    for name, columns in GOOD.items():
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    path, columns = tmp_path / f"{file}.parquet", GOOD[file]
    replaced = {
        "other columns": {"a": [1]},
        "lists": {name: [[1]] for name in columns},
        "text": {name: ["nothing"] for name in columns},
        "null": {name: pa.array([None], pa.string()) for name in columns},
    }
    if damage in replaced:
        pq.write_table(pa.table(replaced[damage]), path)
    else:
        written = path.read_bytes()
        bad = {
            "cut": written[:60],
            "noise": bytes(range(256)),
            "empty": b"",
            "NUL bytes": b"\0" * 500,
            "csv": b"a,b\n1,2\n",
        }
        path.write_bytes(bad[damage])
    source = sources.open_source("complete-journey", tmp_path)
    harmless = {("demographics", "lists"), ("demographics", "text"), ("demographics", "null")}
    try:
        check_log(source, compose(source.settings), tmp_path / "scratch")
        said = ""
    except UserMistake as refused:
        said = str(refused)
    assert "\n" not in said
    assert bool(said) == ((file, damage) not in harmless)
