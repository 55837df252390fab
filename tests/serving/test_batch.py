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
    assert counted.named[1].startswith("row 3: column 'wish' is none of user, items, k")
    assert counted.named[2].startswith("row 4: it is no object in JSON")
    assert len(counted.named) == 3
    assert set(pq.read_table(tmp_path / "lists.parquet").column("request").to_pylist()) == {1, 5}


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
    assert capsys.readouterr().out == f"4 lists in {to}\n"
    assert cli.run(command) == 2
    assert "exists; choose another --out, or --overwrite" in capsys.readouterr().err
    assert cli.run([*command, "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"requests": 4, "lists": 4, "bad_rows": 0, "first_bad_rows": []}
    for wrong, said in (
        ([*command, "--user", "anna"], "--batch reads users, items and filters from its file"),
        (command[:4], "--batch needs a file for its lists: --out LISTS.parquet"),
        ([*command[:2], "--out", str(to)], "--out and --overwrite belong to --batch REQUESTS"),
    ):
        assert cli.run(wrong) == 2
        assert said in capsys.readouterr().err
