"""Lists for a file of requests: every form of file, bad rows counted and named, nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_logs
from served import KNOWN, OTHER, ids, model

from segue.cli import app as cli
from segue.errors import ArtifactError, RequestError
from segue.serving.batch import write_lists
from segue.system.holding import held

REQUESTS: list[dict[str, Any]] = [
    {"user": KNOWN, "items": ["first3", "second3"], "k": 4},
    {"user": OTHER, "items": ["b1"], "exclude": ["b2", "a1"], "exclude_seen": "session"},
    {"user": None, "items": []},
    {"user": "nobody", "items": ["first2"], "history": ["b1"], "discover": 0.5, "time": 1_700_000_000_000},
]
SCHEMA = pa.schema(
    [
        *((name, pa.list_(pa.string())) for name in ("items", "exclude", "history")),
        *((name, pa.string()) for name in ("user", "exclude_seen")),
        *((name, pa.int64()) for name in ("k", "time")),
        ("discover", pa.float64()),
    ]
)


def written(folder: Path, ending: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / f"requests{ending}"
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path)
    elif ending == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        names = SCHEMA.names
        cells = [[",".join(v) if isinstance(v := row.get(name), list) else v for name in names] for row in rows]
        small_logs.write_csv(path, [["" if cell is None else cell for cell in row] for row in cells], names)
    return path


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_the_lists_are_those_of_single_requests(tmp_path: Path, ending: str) -> None:
    seen: list[int] = []
    counted = write_lists(
        model(), written(tmp_path, ending, REQUESTS), tmp_path / "lists.parquet", 3, progress=seen.append
    )
    assert (counted.requests, counted.lists, counted.bad) == (4, 4, 0)
    assert seen == [1, 2, 3, 4]
    rows = pq.read_table(tmp_path / "lists.parquet").to_pylist()
    for number, request in enumerate(REQUESTS, start=1):
        wanted = model().recommend(**{"k": 3, **request})
        found = [row for row in rows if row["request"] == number]
        assert [row["item"] for row in found] == ids(wanted)
        assert [row["place"] for row in found] == list(range(1, len(wanted) + 1))
        assert {row["user"] for row in found} == {request["user"]}
        assert [row["score"] for row in found] == pytest.approx([entry.score for entry in wanted], rel=1e-5)


def test_bad_rows_are_counted_and_named(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text('{"user": "user00"}\n{"k": 0}\n\n{"wish": 1}\n[1]\n{"user": "user01"}\n{"items": "milk"}\n{\n')
    counted = write_lists(model(), path, tmp_path / "lists.parquet", 2)
    assert (counted.requests, counted.lists, counted.bad) == (7, 2, 5)
    assert counted.named[0] == "row 2: k must be at least 1, found 0"
    assert counted.named[1].startswith("row 4: column 'wish' is none of user, items, k")
    assert counted.named[2].startswith("row 5: it is no object in JSON")
    assert len(counted.named) == 3
    assert set(pq.read_table(tmp_path / "lists.parquet").column("request").to_pylist()) == {1, 6}


def test_unknown_items_and_empty_lists_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, to = tmp_path / "requests.csv", tmp_path / "lists.parquet"
    path.write_text('user,items,candidates\nuser00,"FIRST3, b1",\nuser00,first3,nothing\nuser00,first3,\n')
    command = ["recommend", str(small_logs.fitted_model()), "--batch", str(path), "--out", str(to), "-k", "2"]
    assert cli.run(command) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("row 1: unknown to the model, skipped: 'FIRST3' (did you mean 'first3'?), ' b1' (did you")
    assert said[1].startswith("row 2: 1 of 1 candidates are unknown to the model: 'nothing'; only 0 items are eligible")
    assert said[2:] == [
        "1 of 3 requests hold items that the model does not know",
        "2 of 3 requests come with a warning, such as those above",
        "1 of 3 lists are empty: none of their items was eligible",
    ]
    counted = write_lists(model(), path, to, 2, overwrite=True)
    assert (counted.with_unknown_items, counted.with_warnings, counted.empty) == (1, 2, 1)


def test_lists_in_a_csv_file_may_be_json(tmp_path: Path) -> None:
    path, to = tmp_path / "requests.csv", tmp_path / "lists.parquet"
    path.write_text(
        'user,items\nuser00,"[""first3"", ""second3""]"\nuser00,"first3,second3"\nuser00,"[\'first3\', \'b1\']"\n'
    )
    counted = write_lists(model(), path, to, 4)
    assert (counted.lists, counted.with_warnings) == (2, 0)
    assert counted.named[0].startswith("row 3: items begin with [ and are no list in JSON (")
    first, second = (
        [row["item"] for row in pq.read_table(to).to_pylist() if row["request"] == number] for number in (1, 2)
    )
    assert first == second == ids(model().recommend(KNOWN, ["first3", "second3"], 4))


@pytest.mark.parametrize(("ending", "head"), [(".jsonl", ""), (".csv", "\n\nuser,k\n")])
def test_requests_are_numbered_by_the_rows_of_the_file(tmp_path: Path, ending: str, head: str) -> None:
    """A byte order mark at the beginning is no part of the first row, and blank rows count where rows are numbered."""
    path, to = tmp_path / f"requests{ending}", tmp_path / "lists.parquet"
    rows = ["user00,1", "", "user01,1"] if ending == ".csv" else ['{"user": "user00"}', "", '{"user": "user01"}']
    path.write_text("\n".join(["\ufeff" + head + rows[0], *rows[1:], ""]), encoding="utf-8")
    counted = write_lists(model(), path, to, 1)
    assert (counted.requests, counted.lists, counted.bad) == (2, 2, 0)
    assert [(row["request"], row["user"]) for row in pq.read_table(to).to_pylist()] == [(1, "user00"), (3, "user01")]


@pytest.mark.parametrize("beyond", [0, 1, 50])
def test_a_line_that_is_too_long_is_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beyond: int) -> None:
    monkeypatch.setattr("segue.serving.request_file._LONGEST_LINE", 40)
    path, to = tmp_path / "requests.jsonl", tmp_path / "lists.parquet"
    line = '{"user": "user00"}'.ljust(40 + beyond)
    path.write_text(f'{line}\n{{"user": "user01"}}\n')
    counted = write_lists(model(), path, to, 1)
    assert counted.named == (["row 1: it has more than 40 characters"] if beyond else [])
    assert pq.read_table(to).column("request").to_pylist() == ([2] if beyond else [1, 2])


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user,user,items\nuser00,user01,first3\n")
    twice = pa.Table.from_arrays([pa.array(["user00"]), pa.array(["user01"])], names=["user", "user"])
    pq.write_table(twice, tmp_path / "r.parquet")
    for name in ("r.csv", "r.parquet"):
        with pytest.raises(RequestError, match=r"r.(csv|parquet) has more than one column 'user'; leave one of them"):
            write_lists(model(), tmp_path / name, tmp_path / "lists.parquet", 2)


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_missing_and_empty_values_count_as_none(tmp_path: Path, ending: str) -> None:
    path, to = tmp_path / f"requests{ending}", tmp_path / "lists.parquet"
    columns: dict[str, Any] = {
        "user": ["user00", "", None], "k": [2.0, float("nan"), None], "time": [None, float("nan"), 1.7e12]
    }  # fmt: skip
    if ending == ".parquet":
        pq.write_table(pa.table(columns), path)
    elif ending == ".csv":
        path.write_text("user,k,time\nuser00,2.0,\n,nan,nan\n,,1700000000000.0\n")
    else:
        path.write_text('{"user": "user00", "k": 2.0}\n{"user": "", "k": null}\n{"user": null, "time": 1.7e12}\n')
    counted = write_lists(model(), path, to, 3)
    assert (counted.lists, counted.named) == (3, [])
    rows = pq.read_table(to).to_pylist()
    assert [(row["request"], row["user"]) for row in rows] == [(1, "user00")] * 2 + [(2, None)] * 3 + [(3, None)] * 3


def test_a_fraction_is_no_length(tmp_path: Path) -> None:
    pq.write_table(pa.table({"k": [2.5, 1.0, float("inf")]}), tmp_path / "r.parquet")
    counted = write_lists(model(), tmp_path / "r.parquet", tmp_path / "lists.parquet", 3)
    assert (counted.lists, counted.bad) == (1, 2)
    assert counted.named[0].startswith("row 1: k is a whole number, found 2.5")


def test_many_lists_are_written_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.serving.batch._ROWS", 7)
    write_lists(model(), written(tmp_path, ".csv", REQUESTS * 25), tmp_path / "lists.parquet", 2)
    rows = pq.read_table(tmp_path / "lists.parquet")
    assert rows.column("request").to_pylist() == sorted(rows.column("request").to_pylist())
    assert len(set(rows.column("request").to_pylist())) == 100


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("r.txt", "user\nanna\n", "is no file of requests by its name: end it in .parquet, .csv or .jsonl"),
        ("r.csv", "user\n", "holds no row"),
        ("r.csv", "wish\n1\n", "holds 1 rows, none of them a request; row 1: column 'wish'"),
        ("r.csv", 'user\n"an\n', "cannot be read"),
        ("r.parquet", "no parquet", "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, name: str, text: str, found: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(RequestError) as refused:
        write_lists(model(), tmp_path / name, tmp_path / "lists.parquet", 2)
    assert found in str(refused.value)
    assert {path.name for path in tmp_path.iterdir()} == {name}, "nothing is half-written"


def test_a_missing_file_and_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="No such file"):
        write_lists(model(), tmp_path / "r.csv", tmp_path / "lists.parquet", 2)
    with pytest.raises(ArtifactError, match="cannot write to"):
        write_lists(model(), written(tmp_path, ".csv", REQUESTS), tmp_path / "none" / "lists.parquet", 2)


def test_only_lists_are_replaced(tmp_path: Path) -> None:
    requests = written(tmp_path, ".parquet", REQUESTS)
    folder, pipe, other, link = (tmp_path / name for name in ("d.parquet", "p.parquet", "o.parquet", "l.parquet"))
    folder.mkdir()
    os.mkfifo(pipe)
    other.write_text("somebody's")
    link.symlink_to(pipe)
    for out, said in (
        (requests, "is the file of the requests"),
        (folder, "is no regular file"),
        (pipe, "is no regular file"),
        (link, "is no regular file"),
        (other, "exists and holds no lists of --batch"),
        (tmp_path / "lists.csv", "end --out in .parquet"),
        (Path("."), "end --out in .parquet"),
    ):
        with pytest.raises(RequestError) as refused:
            write_lists(model(), requests, out, 2, overwrite=True)
        assert said in str(refused.value)
    assert other.read_text() == "somebody's"
    assert pq.read_table(requests).num_rows == len(REQUESTS)
    assert pipe.is_fifo()
    assert len(list(tmp_path.iterdir())) == 5


def test_lists_never_stand_in_the_model(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(small_logs.fitted_model(), folder)
    (tmp_path / "link").symlink_to(folder)
    before = sorted(path.name for path in folder.iterdir())
    command = ["recommend", str(folder), "--batch", str(written(tmp_path, ".csv", REQUESTS)), "--overwrite", "--out"]
    for out in (folder / "new.parquet", tmp_path / "link" / "items.parquet"):
        assert cli.run([*command, str(out)]) == 2
    assert sorted(path.name for path in folder.iterdir()) == before


def test_lists_are_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    requests, out = written(tmp_path, ".csv", REQUESTS), tmp_path / "lists.parquet"
    with held(out, RequestError), pytest.raises(RequestError, match="is in use by process"):
        write_lists(model(), requests, out, 2)
    write_lists(model(), requests, out, 2)
    assert {path.name for path in tmp_path.iterdir()} == {requests.name, out.name}


def test_a_link_stays_and_its_lists_are_replaced(tmp_path: Path) -> None:
    requests, link = written(tmp_path, ".csv", REQUESTS), tmp_path / "latest.parquet"
    link.symlink_to("lists.parquet")
    for k in (1, 2):
        write_lists(model(), requests, link, k, overwrite=True)
        assert link.is_symlink()
        assert pq.read_table(tmp_path / "lists.parquet").num_rows == 4 + k * 3  # one asks for 4


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, to = written(tmp_path, ".csv", REQUESTS), tmp_path / "lists.parquet"
    command = ["recommend", str(small_logs.fitted_model()), "--batch", str(path), "--out", str(to), "-k", "2"]
    assert cli.run(command) == 0
    shown = capsys.readouterr()
    assert shown.out == f"4 lists in {to}\n"
    assert "row 4: user 'nobody' is unknown to the model" in shown.err
    assert "2 of 4 requests come with a warning, such as those above" in shown.err
    assert cli.run(command) == 2
    assert "exists; choose another --out, or --overwrite" in capsys.readouterr().err
    assert cli.run([*command, "--overwrite", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row.partition(":")[0] for row in found.pop("first_warnings")] == ["row 3", "row 4"]
    assert found == {
        "requests": 4, "lists": 4, "bad_rows": 0, "first_bad_rows": [], "with_unknown_items": 0, "with_warnings": 2,
        "empty_lists": 0,
    }  # fmt: skip
    for wrong, said in (
        ([*command, "--user", "anna"], "--batch reads users, items and filters from its file"),
        (command[:4], "--batch needs a file for its lists: --out LISTS.parquet"),
        ([*command[:2], "--out", str(to)], "--out and --overwrite belong to --batch REQUESTS"),
    ):
        assert cli.run(wrong) == 2
        assert said in capsys.readouterr().err


def test_a_batch_that_is_interrupted_starts_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said fits: nothing of a batch is kept, and it has no --resume."""
    path, to = written(tmp_path, ".csv", REQUESTS), tmp_path / "lists.parquet"

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("segue.serving.batch.table", interrupt)
    assert cli.run(["recommend", str(small_logs.fitted_model()), "--batch", str(path), "--out", str(to)]) == 130
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "interrupted; nothing is half-written: the same command starts again"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
