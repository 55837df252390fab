"""JSON lines of which some are no objects: each is named, or left out and counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from raw_logs import FRAME, ROWS, Read, refused, rows, write

OBJECTS = [json.dumps(dict(zip(FRAME, values, strict=True))) for values in zip(*FRAME.values(), strict=True)]
REMEDY = "; mend that line, or leave such lines out with --drop-invalid$"


def lines(*each: str) -> str:
    return "".join(f"{line}\n" for line in each)


@pytest.mark.parametrize("name", ["log.jsonl", "log.ndjson.gz"])
@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ('{"user_id": "u1", "item_', "no valid JSON"),
        ("(3 rows)", "no valid JSON"),
        (OBJECTS[0] + OBJECTS[1], "no valid JSON"),
        ("[1,2]", "JSON that is no object"),
        ('"text"', "JSON that is no object"),
    ],
)
def test_a_line_that_is_no_object(read: Read, tmp_path: Path, name: str, wrong: str, problem: str) -> None:
    path = write(tmp_path / name, lines(OBJECTS[0], "", OBJECTS[1], wrong, OBJECTS[2], wrong))
    refused(read, path, f"{name} cannot be read: line 4 is {problem}{REMEDY}")
    log = read(path, drop_invalid=True)
    assert rows(log) == ROWS
    assert log.facts.dropped == {problem: 2}
    assert (log.facts.rows_read, log.facts.rows_dropped) == (5, 2)


def test_the_lines_of_a_folder_are_counted_per_file(read: Read, tmp_path: Path) -> None:
    write(tmp_path / "log" / "1.jsonl", lines("[]", OBJECTS[0]))
    write(tmp_path / "log" / "2.jsonl", lines(OBJECTS[1], "{", '{"user_id": "u", "item_id": "i", "timestamp": "soon"}'))
    refused(read, tmp_path / "log", f"1.jsonl cannot be read: line 1 is JSON that is no object{REMEDY}")
    log = read(tmp_path / "log", drop_invalid=True)
    assert rows(log) == ROWS[:2]
    assert log.facts.dropped == {"JSON that is no object": 1, "no valid JSON": 1, "unreadable time": 1}
    write(tmp_path / "log" / "1.jsonl", lines(OBJECTS[0]))
    refused(read, tmp_path / "log", f"2.jsonl cannot be read: line 2 is no valid JSON{REMEDY}")


def test_no_line_is_an_object(read: Read, tmp_path: Path) -> None:
    refused(read, write(tmp_path / "log.jsonl", lines("[1]", "x")), "log.jsonl: no line is a JSON object")


def test_lists_of_events_between_damaged_lines(read: Read, tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", lines('{"session": 1, "events": [{"aid": 2, "ts": 3}]}', "{"))
    refused(read, path, r"holds lists of objects \(key 'events'\)")


def test_json_lines_that_are_not_utf8(read: Read, tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", lines(*OBJECTS).replace("u1", "caf\xe9").encode("latin-1"))
    refused(read, path, "log.jsonl cannot be read: not UTF-8 text; convert it, if it is Latin-1 by: iconv")
