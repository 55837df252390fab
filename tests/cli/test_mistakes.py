"""Every mistake gets one line that says what to do, exit code 2, and leaves everything as it was."""

from __future__ import annotations

import errno
import gzip
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_logs

from segue.cli import app as cli
from segue.settings import Nested

Refused = Callable[..., str]
SETTINGS = small_logs.as_arguments(small_logs.SMALL)
HEADER = "user_id,item_id,timestamp\n"
ROWS = small_logs.rows()
LINES = [",".join(row) for row in ROWS]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command that has to fail; returns its one line without the beginning."""

    def run(*arguments: object) -> str:
        before = contents(tmp_path)
        code = cli.run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert code == 2, err
        assert out == ""
        assert err.count("\n") == 1, err
        assert err.startswith("segue: ")
        assert err.endswith("\n")
        assert "Traceback" not in err
        assert contents(tmp_path) == before
        return err.removeprefix("segue: ").rstrip("\n")

    return run


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def written(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def half(path: Path) -> Path:
    data = path.read_bytes()
    return written(path, data[: len(data) // 2])


def parquet(path: Path) -> Path:
    columns = dict(zip(small_logs.COLUMNS, zip(*ROWS, strict=True), strict=True))
    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), path)
    return path


def with_rows(path: Path, *lines: str) -> Path:
    """The log with further lines."""
    return written(path, HEADER + "\n".join([*LINES, *lines]) + "\n")


# name → (the log, what the line has to say)
LOGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing file": (lambda d: d / "nowhere.csv", r"no such file: .*nowhere\.csv"),
    "unknown kind": (lambda d: written(d / "log.xlsx", "x"), r"log\.xlsx: unknown kind of file; Segue reads \.csv"),
    "empty file": (lambda d: written(d / "log.csv", ""), r"log\.csv is empty"),
    "header alone": (lambda d: written(d / "log.csv", HEADER), r"log\.csv is empty: .* holds no row"),
    "empty folder": (lambda d: (d / "logs").mkdir() or d / "logs", r"holds no CSV, TSV or Parquet file"),
    "missing column": (
        lambda d: small_logs.write_csv(d / "log.csv", ROWS, ("user_id", "article", "timestamp")),
        r"no column 'item_id' \(found: user_id, article, timestamp\); .*--set columns\.item_id=",
    ),
    "unparsable time": (lambda d: with_rows(d / "log.csv", "u,i,yesterday"), r"row 865 .*'yesterday'.*epoch seconds"),
    "mixed units": (
        lambda d: written(d / "log.csv", HEADER + "u,a,1700000000\nu,b,1700000000000\n"),
        r"row 1 \('1700000000'\).*row 2 \('1700000000000'\)",
    ),
    "mixed forms": (lambda d: with_rows(d / "log.csv", "u,i,2024-01-31"), r"ISO 8601 .*dates"),
    "null item": (
        lambda d: with_rows(d / "log.csv", "u,,2024-01-31T00:00:00Z"),
        r"column 'item_id' is null or empty in 1 of 865 rows, first in row 865; .*--drop-invalid",
    ),
    "null user": (lambda d: with_rows(d / "log.csv", ",i,2024-01-31T00:00:00Z"), r"'user_id' is null.*--drop-invalid"),
    "null time": (lambda d: with_rows(d / "log.csv", "u,i,"), r"'timestamp' is null.*--drop-invalid"),
    "only nulls": (lambda d: written(d / "log.csv", HEADER + ",,\n,,\n"), r"null or empty"),
    "ragged rows": (lambda d: with_rows(d / "log.csv", "u,i"), r"line 866 has 2 fields, the header 3"),
    "truncated gz": (lambda d: half(written(d / "log.csv.gz", gzip.compress(b"x" * 9 + os.urandom(9000)))), r"gzip"),
    "no gz": (lambda d: written(d / "log.csv.gz", HEADER), r"not a complete gzip file"),
    "truncated parquet": (lambda d: half(parquet(d / "log.parquet")), r"not a complete Parquet file"),
    "no parquet": (lambda d: written(d / "log.parquet", "x" * 300), r"not a complete Parquet file"),
    "not UTF-8": (lambda d: written(d / "log.csv", HEADER.encode() + b"u,caf\xe9,1700000000\n"), r"not UTF-8"),
    "no database table": (lambda d: f"{database(d)}::orders", r"no table 'orders' \(tables: clicks\)"),
    "unknown data set file": (lambda d: f"lastfm:{d / 'nowhere'}", r"lastfm: no file .*download"),
}


def database(folder: Path) -> Path:
    path = folder / "log.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE clicks (user_id VARCHAR)")
    return path


@pytest.mark.parametrize("name", LOGS)
def test_logs_that_cannot_be_read_or_believed(tmp_path: Path, refused: Refused, name: str) -> None:
    make, says = LOGS[name]
    log = make(tmp_path)
    said = refused("fit", log, "--out", tmp_path / "model", *SETTINGS)
    assert re.search(says, said), said
    assert refused("prepare", log, "--out", tmp_path / "corpus", *SETTINGS) == said
    if not name.startswith(("null", "only")):  # `check` counts nulls and goes on
        assert refused("check", log) == said


# name → (settings, what the line has to say)
FILTERS: dict[str, tuple[Nested, str]] = {
    "item support": ({"filters": {"min_item_support": 1000}}, r"filters\.min_item_support took 864 events"),
    "user sessions": (
        {"filters": {"min_user_sessions": 99}},
        r"filters\.min_user_sessions took 864 events and 216 ses",
    ),
    "session length": ({"sessions": {"min_length": 9}}, r"sessions\.min_length took 864 events"),
    "long sessions": ({"sessions": {"max_length": 2, "keep": "drop"}}, r"sessions\.max_length took 864 events"),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_log_in_which_nothing_survives(tmp_path: Path, refused: Refused, name: str) -> None:
    overrides, says = FILTERS[name]
    said = refused("fit", small_logs.log(), "--out", tmp_path / "m", *SETTINGS, *small_logs.as_arguments(overrides))
    assert re.search(says, said), said
    assert "nothing is left of the log's 864 events (12 users, 32 items)" in said


def test_one_user_only(tmp_path: Path, refused: Refused) -> None:
    log = written(tmp_path / "log.csv", HEADER + "\n".join(line for line in LINES if line.startswith("user00")))
    assert "1 user is left" in refused("fit", log, "--out", tmp_path / "m", *SETTINGS)


# arguments → what the line has to say
SETTINGS_MISTAKES = {
    "training.patiense=3": r"unknown setting 'training\.patiense': did you mean 'patience'\?",
    "trainin.seed=3": r"unknown section 'trainin': did you mean 'training'\?",
    "model.dimm=3": r"unknown setting 'model\.dimm': did you mean 'dim'\?",
    "model.name=hg_gn": r"unknown model 'hg_gn': did you mean 'hg_gnn'\?",
    "model.preset=papr": r"unknown preset 'papr' of model 'hg_gnn': did you mean 'paper'\?",
    "training.max_epochs=many": r"'training\.max_epochs': .*integer.*found 'many'",
    "training.max_epochs=0": r"'training\.max_epochs': .*greater than or equal to 1, found 0",
    "sessions.gap=8": r"'sessions\.gap': .*found 8",
    "sessions.gap=8 hours": r"'sessions\.gap': .*units ms, s, min, h, d.*found '8 hours'",
    "split.test=1.5": r"'split\.test': .*less than 1, found 1\.5",
    "training.device=gpu": r"'training\.device': use auto, cpu or cuda .*, found 'gpu'",
    "training.seed=1979-05-27": r"'training\.seed'",
    "training.device=meta": r"'training\.device': use auto, cpu or cuda .*, found 'meta'",
    "training.threads=100000": r"'training\.threads': .*less than or equal to 1024, found 100000",
    "training.learning_rate=inf": r"'training\.learning_rate': .*finite number, found inf",
    "evaluation.mask_session=maybe": r"'evaluation\.mask_session': expected auto, true or false, found 'maybe'",
    "split.test=1e-300": r"'split\.test': a share must lie between 1e-09 and .*, found 1e-300",
    "model.dim=1e11": r"'model\.dim': .*less than or equal to \d+, found 1e?",
    "model.window.lenght=2": r"unknown setting 'model\.window\.lenght': did you mean 'length'",
    "model.dim=0": r"'model\.dim': .*greater than or equal to 1, found 0",
    "seed=3": r"--set 'seed=3': expected SECTION\.KEY=VALUE",
    "training.seed": r"--set 'training\.seed': expected SECTION\.KEY=VALUE",
    'graph.attributes=["item.colour"]': r"colour",
}


@pytest.mark.parametrize("assignment", SETTINGS_MISTAKES)
def test_settings_mistakes(tmp_path: Path, refused: Refused, assignment: str) -> None:
    says = SETTINGS_MISTAKES[assignment]
    said = refused("train", small_logs.corpus(), "--out", tmp_path / "m", "--set", assignment)
    if "was fixed" not in said:
        assert re.search(says, said), said
    said = refused("fit", small_logs.log(), "--out", tmp_path / "m", *SETTINGS, "--set", assignment)
    assert re.search(says, said), said


TOML = {
    "broken": ("[training\nseed = 1", r"is not valid TOML: .*line 1"),
    "no section": ("seed = 1", r"'seed' stands outside a section"),
    "not UTF-8": (b"[model]\nname = '\xe9'", r"is not UTF-8 text"),
    "unknown key": (
        "[filters]\nmin_items = 3",
        r"unknown setting 'filters\.min_items': did you mean 'min_item_support'",
    ),
    "wrong type": ("[training]\npatience = 'often'", r"'training\.patience': .*found 'often'"),
    "a table for a value": ("[training.seed]\nx = 1", r"'training\.seed'"),
}


@pytest.mark.parametrize("name", TOML)
def test_settings_file_mistakes(tmp_path: Path, refused: Refused, name: str) -> None:
    text, says = TOML[name]
    file = written(tmp_path / "shop.toml", text)
    for command in (
        ("check", small_logs.log()), ("prepare", small_logs.log(), "--out", tmp_path / "c"),
        ("train", small_logs.corpus(), "--out", tmp_path / "m"), ("fit", small_logs.log(), "--out", tmp_path / "m"),
        ("evaluate", small_logs.fitted_model()), ("recommend", small_logs.fitted_model()),
        ("stats", small_logs.corpus()),
    ):  # fmt: skip
        said = refused(*command, "--config", file)
        assert re.search(says, said), (command, said)


def test_a_settings_file_that_is_not_there(tmp_path: Path, refused: Refused) -> None:
    said = refused("check", small_logs.log(), "--config", tmp_path / "nowhere.toml")
    assert re.search(r"cannot read the settings file .*nowhere\.toml: No such file", said)


USAGE = {
    ("--nope",): r"No such option: --nope",
    ("fitt",): r"No such command 'fitt'",
    ("train",): r"Missing argument 'corpus'.*segue train --help",
    ("train", "c"): r"Missing option '--out'",
    ("train", "c", "--out"): r"'--out' requires an argument",
    ("train", "c", "--out", "m", "--resum"): r"No such option: --resum.*--resume",
    ("train", "c", "d", "--out", "m"): r"unexpected extra argument",
    ("recommend", "m", "-k", "ten"): r"Invalid value for '-k'",
    ("evaluate", "m", "--split", "train"): r"'test', 'validation'",
    ("recommend", "m", "--exclude-seen", "all"): r"'session', 'history'",
}


@pytest.mark.parametrize("arguments", USAGE)
def test_unknown_options_and_commands(refused: Refused, arguments: tuple[str, ...]) -> None:
    said = refused(*arguments)
    assert re.search(USAGE[arguments], said), said
    assert re.search(r"; see segue( \w+)? --help$", said)


def test_requests_that_cannot_be_answered(tmp_path: Path, refused: Refused) -> None:
    model = small_logs.fitted_model()
    for k in ("0", "-1"):
        assert refused("recommend", model, "--items", "first3", "-k", k) == f"-k must be at least 1, found {k}"
    said = refused("recommend", model, "--candidates", tmp_path / "nowhere")
    assert re.search(r"cannot read .*nowhere: No such file", said)
    assert "Is a directory" in refused("recommend", model, "--history", tmp_path)
    file = written(tmp_path / "items", b"caf\xe9\n")
    assert "is not UTF-8 text; write one item id a line" in refused("recommend", model, "--candidates", file)


@pytest.mark.parametrize("command", ["evaluate", "recommend"])
def test_models_that_are_missing_or_damaged(tmp_path: Path, refused: Refused, command: str) -> None:
    assert "is not a trained model" in refused(command, tmp_path / "nowhere")
    assert "is not a trained model" in refused(command, written(tmp_path / "file", "x"))
    assert "segue-corpus" in refused(command, small_logs.corpus())
    model = Path(shutil.copytree(small_logs.counting_model("popularity", "global"), tmp_path / "m"))
    half(model / "model.safetensors")
    assert "is damaged: model.safetensors has changed" in refused(command, model)


@pytest.mark.parametrize("command", ["train", "stats"])
def test_corpora_that_are_missing_or_damaged(tmp_path: Path, refused: Refused, command: str) -> None:
    out = ["--out", tmp_path / "m"] if command == "train" else []
    assert "is not a corpus" in refused(command, tmp_path / "nowhere", *out)
    assert "corpus" in refused(command, written(tmp_path / "file", "x"), *out)
    corpus = Path(shutil.copytree(small_logs.corpus(), tmp_path / "c"))
    whole = (corpus / "train.parquet").read_bytes()
    half(corpus / "train.parquet")
    assert "is damaged" in refused(command, corpus, *out)
    (corpus / "train.parquet").unlink()
    assert "is damaged" in refused(command, corpus, *out)
    written(corpus / "train.parquet", whole)
    half(corpus / "manifest.json")
    assert "cannot be read" in refused(command, corpus, *out)


def test_a_file_of_items_that_cannot_be_read(tmp_path: Path, refused: Refused) -> None:
    twice = small_logs.write_csv(tmp_path / "items.csv", [("a", "A"), ("a", "B")], ("item_id", "name"))
    command = ("fit", small_logs.log(), "--out", tmp_path / "m", *SETTINGS, "--items")
    assert "repeat an id" in refused(*command, twice)
    assert "no such file" in refused(*command, tmp_path / "nowhere.csv")


@pytest.mark.parametrize("place", ["file/model", "file", "/proc/segue/model", "/proc/segue"])
def test_folders_that_cannot_be_written(tmp_path: Path, refused: Refused, place: str) -> None:
    """Root may write to any folder, but not below a file, nor make one in /proc."""
    written(tmp_path / "file", "mine")
    out = tmp_path / place
    for command in (("prepare", small_logs.log()), ("train", small_logs.corpus()), ("fit", small_logs.log())):
        said = refused(*command, "--out", out, *SETTINGS)
        assert str(out) in said


def test_what_is_there_is_refused(tmp_path: Path, refused: Refused) -> None:
    shutil.copytree(small_logs.corpus(), tmp_path / "c")
    shutil.copytree(small_logs.counting_model("popularity", "global"), tmp_path / "m")
    assert "--overwrite" in refused("prepare", small_logs.log(), "--out", tmp_path / "c", *SETTINGS)
    assert "--overwrite" in refused("train", small_logs.corpus(), "--out", tmp_path / "m")
    assert "--overwrite" in refused("fit", small_logs.log(), "--out", tmp_path / "m")
    assert "nothing to resume" in refused("train", small_logs.corpus(), "--out", tmp_path / "n", "--resume")
    # A mistake leaves it alone even when it may be replaced.
    nowhere, overwrite = tmp_path / "nowhere.csv", "--overwrite"
    refused("fit", nowhere, "--out", tmp_path / "m", overwrite)
    refused("prepare", nowhere, "--out", tmp_path / "c", overwrite)
    refused("prepare", small_logs.log(), "--out", tmp_path / "c", overwrite, "--set", "filters.min_user_sessions=99")
    refused("train", small_logs.corpus(), "--out", tmp_path / "m", overwrite, "--set", "training.learning_rate=1e38",
            *small_logs.as_arguments({"model": {"dim": 8}, "training": {"batch_events": 16}}))  # fmt: skip


@pytest.mark.parametrize("length", [250, 300, 5000])
def test_names_that_are_too_long(tmp_path: Path, refused: Refused, length: int) -> None:
    """Up to 255 letters a file system takes, but a run needs room for .partial, and to put a former model aside."""
    out = tmp_path / ("x" * length)
    for command in (("prepare", small_logs.log()), ("train", small_logs.corpus()), ("fit", small_logs.log())):
        assert "name too long" in refused(*command, "--out", out, *SETTINGS)


def test_inputs_whose_names_are_too_long(tmp_path: Path, refused: Refused) -> None:
    name, out = tmp_path / ("x" * 300), ["--out", tmp_path / "m"]
    for command in (
        ("check", name), ("prepare", name, *out), ("train", name, *out), ("stats", name), ("fit", name, *out),
        ("fit", small_logs.log(), *out, "--items", name), ("evaluate", name), ("recommend", name),
        ("evaluate", small_logs.fitted_model(), "--corpus", name), ("check", small_logs.log(), "--config", name),
    ):  # fmt: skip
        assert "name too long" in refused(*command)


@pytest.mark.parametrize("out", [".", "..", "/"])
def test_a_folder_without_a_name(refused: Refused, out: str) -> None:
    for command in (("prepare", small_logs.log()), ("train", small_logs.corpus()), ("fit", small_logs.log())):
        for flags in ([], ["--overwrite"]):
            assert "is no name for a new folder; choose another --out" in refused(*command, "--out", out, *flags)


def test_a_file_where_a_corpus_is_needed(tmp_path: Path, refused: Refused) -> None:
    log = shutil.copy(small_logs.log(), tmp_path / "log.csv")
    for command in (("train", log, "--out", tmp_path / "m"), ("stats", log),
                    ("evaluate", small_logs.fitted_model(), "--corpus", log)):  # fmt: skip
        assert refused(*command) == f"{log} is a file, not a corpus; make one of a log with: segue prepare LOG"


def test_a_log_without_a_name(tmp_path: Path, refused: Refused) -> None:
    for command in (("check",), ("prepare", "--out", tmp_path / "c"), ("fit", "--out", tmp_path / "m")):
        assert refused(*command, "").startswith("no log is named (the name is empty); give a file")


def as_folder(make: Callable[[], Path], folder: Path) -> Path:
    return Path(shutil.copytree(make(), folder))


FOREIGN = (
    "notes.txt",
    "deep/er/notes.txt",
    "evaluation/mine.json",
    "corpus/log.csv",
    "tensorboard/x/y",
    "a.checkpoint",
)


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_others_are_never_replaced(tmp_path: Path, refused: Refused, name: str) -> None:
    model, corpus = tmp_path / "m", tmp_path / "c"
    as_folder(small_logs.fitted_model, model)
    as_folder(small_logs.corpus, corpus)
    for folder in (model, corpus):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        written(folder / name, "mine")
    for command in (("train", small_logs.corpus(), "--out", model), ("fit", small_logs.log(), "--out", model),
                    ("prepare", small_logs.log(), "--out", corpus)):  # fmt: skip
        said = refused(*command, "--overwrite", *SETTINGS)
        assert said.startswith(f"{command[-1] / name} is not Segue's"), said
        assert "move it away, or choose another --out" in said


@pytest.mark.parametrize("kind", ["notes", "foreign note", "file", "run with notes"])
def test_a_neighbour_called_partial_is_not_dropped(tmp_path: Path, refused: Refused, kind: str) -> None:
    partial = tmp_path / "m.partial"
    if kind == "file":
        written(partial, "mine")
    else:
        partial.mkdir()
        written(partial / "notes.txt", "mine")
    if kind == "foreign note":
        (partial / "notes.txt").unlink()
    if kind in ("foreign note", "run with notes"):
        written(partial / "run.json", '{"mine": 1}' if kind == "foreign note" else '{"settings": {}}')
    for command in (("train", small_logs.corpus()), ("fit", small_logs.log())):
        said = refused(*command, "--out", tmp_path / "m", "--overwrite", *SETTINGS)
        assert "is not Segue's" in said
        assert "move it away" in said


def test_a_log_inside_the_folder_that_is_replaced(tmp_path: Path, refused: Refused) -> None:
    """Also one that is called like a file of ours, or is reached by another way."""
    model = as_folder(small_logs.fitted_model, tmp_path / "m")
    corpus = as_folder(small_logs.corpus, tmp_path / "c")
    (tmp_path / "link").symlink_to(corpus)
    for command in (
        ("prepare", corpus / "train.parquet", "--out", corpus), ("prepare", corpus, "--out", corpus),
        ("prepare", tmp_path / "link" / "train.parquet", "--out", corpus),
        ("prepare", small_logs.log(), "--items", corpus / "items.parquet", "--out", corpus),
        ("fit", model / "corpus" / "train.parquet", "--out", model), ("train", model / "corpus", "--out", model),
        ("fit", small_logs.log(), "--users", model / "users.parquet", "--out", model),
    ):  # fmt: skip
        assert "which would be replaced; move it away" in refused(*command, "--overwrite", *SETTINGS)


def test_a_final_model_cannot_be_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fit", str(small_logs.log()), "--out", str(tmp_path / "m"), "--final", "--set", "model.name=popularity"]
    assert cli.run(command) == 0
    capsys.readouterr()
    assert cli.run(["evaluate", str(tmp_path / "m")]) == 2
    assert "was trained on the test part too" in capsys.readouterr().err


@pytest.mark.parametrize(
    "step",
    [
        "segue.artifact.model_folder.save_file",
        "segue.data.preparation.prepare.publish",
        "segue.report.evaluation_page.write_text",
    ],
)
def test_a_full_disk(tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def no_space(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    shutil.copytree(small_logs.counting_model("popularity", "global"), tmp_path / "m")
    monkeypatch.setattr(step, no_space)
    command = ["fit", small_logs.log(), "--out", tmp_path / "m", "--overwrite", "--set", "model.name=popularity"]
    assert "No space left on device" in refused(*command)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder]).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_really_full(tiny_disk: Path, refused: Refused) -> None:
    free = os.statvfs(tiny_disk).f_bavail
    command = ["fit", small_logs.log(), "--out", tiny_disk / "m", *SETTINGS, "--set", "model.dim=128"]
    said = refused(*command)
    assert "No space left on device" in said or "disk is full" in said
    assert os.statvfs(tiny_disk).f_bavail == free


def test_a_process_says_it_in_one_line(tmp_path: Path) -> None:
    command = [*small_logs.COMMAND, "fit", str(tmp_path / "nowhere.csv"), "--out", str(tmp_path / "m")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert (done.stdout, done.stderr) == ("", f"segue: no such file: {tmp_path / 'nowhere.csv'}\n")
    assert list(tmp_path.iterdir()) == []
