"""Files of ids: one per line, or a column item_id; header and quotes are no ids."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.cli.id_file import read_ids
from segue.errors import RequestError
from segue.serving.vocabulary import Vocabulary

KNOWN = Vocabulary(["201", "00123", "a,b", '"Heroes"', 'say "hi"'])


def written(folder: Path, text: str) -> Path:
    path = folder / "ids.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("201\n\n  00123 \r\na,b\n", ["201", "00123", "a,b"]),
        ('item_id\n"00123"\n"a,b"\n201\n', ["00123", "a,b", "201"]),
        ('"item_id"\n"00123"\n', ["00123"]),
        ('"00123"\n"a,b"\n201\n', ["00123", "a,b", "201"]),
        ('score,item_id\n.5,"a,b"\n.4,201\n', ["a,b", "201"]),
        ("item_id\tscore\na,b\t1\n201\t2\n", ["a,b", "201"]),
        ('"Heroes"\n"Low"\n', ['"Heroes"', "Low"]),
        ('say "hi"\n"say ""hi"""\n', ['say "hi"', 'say "hi"']),
        ('"not closed\n', ['"not closed']),
        ('item_id,score\n"two\nlines",1\n\n201,2\n', ["two\nlines", "201"]),
        ("﻿item_id\n201\n", ["201"]),
        ("", []),
        ("item_id\n", []),
    ],
)
def test_ids_of_a_file(tmp_path: Path, text: str, wanted: list[str]) -> None:
    assert read_ids(written(tmp_path, text), KNOWN) == wanted


def test_an_item_may_be_called_like_the_column(tmp_path: Path) -> None:
    assert read_ids(written(tmp_path, "item_id\n201\n"), Vocabulary(["item_id", "201"])) == ["item_id", "201"]


def test_another_column_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    text = written(tmp_path, "since,user_id,item_id\n1,anna,201\n2,bert,202\n")
    assert read_ids(text, Vocabulary(["anna", "bert"]), "user_id") == ["anna", "bert"]


def test_a_line_of_another_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"begins with '201' has 3 fields, the header 2; mend it"):
        read_ids(written(tmp_path, "item_id,score\n201,1,2\n"), KNOWN)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot read"):
        read_ids(tmp_path / "nowhere", KNOWN)
    (tmp_path / "latin").write_bytes("caf\xe9\n".encode("latin-1"))
    with pytest.raises(RequestError, match="not UTF-8"):
        read_ids(tmp_path / "latin", KNOWN)


IDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1).filter(lambda text: text != "item_id")


@settings(max_examples=50)
@given(st.lists(IDS), st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_what_a_csv_writer_wrote_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, items: list[str], quoting: int
) -> None:
    path = tmp_path_factory.mktemp("ids") / "ids.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=quoting)  # type: ignore[arg-type]
        writer.writerows([[item] for item in ["item_id", *items]])
    assert read_ids(path, Vocabulary([])) == items
