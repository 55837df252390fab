"""Models, corpora and folders that are missing, damaged, full or in the way: one line, exit code 2, nothing lost."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import small_logs
from mistakes import SETTINGS, Refused, half, written

from segue.cli import app as cli
from segue.errors import CorpusError
from segue.system.holding import held


def test_requests_that_cannot_be_answered(tmp_path: Path, refused: Refused) -> None:
    model = small_logs.fitted_model()
    for k in ("0", "-1"):
        assert refused("recommend", model, "--items", "first3", "-k", k) == f"-k must be at least 1, found {k}"
    for command in ("recommend", "evaluate"):
        for share in ("-0.1", "20", "nan"):
            said = refused(command, model, "--discover", share)
            assert said.startswith(f"--discover is a share of the places from 0 to 1, found {float(share)}; 0.2 is")
    said = refused("recommend", model, "--candidates", tmp_path / "nowhere")
    assert re.search(r"cannot read .*nowhere: No such file", said)
    assert "Is a directory" in refused("recommend", model, "--history", tmp_path)
    file = written(tmp_path / "items", b"caf\xe9\n")
    said = refused("recommend", model, "--candidates", file)
    assert "is not UTF-8 text; convert it, if it is Latin-1 by: iconv" in said
    subprocess.run(said.partition("Latin-1 by: ")[2], shell=True, check=True)
    assert (tmp_path / "items.utf8").read_text(encoding="utf-8") == "café\n"


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
        assert (
            refused(*command)
            == f"{log} is a file, not a corpus; make one of a log with: segue prepare LOG --out CORPUS"
        )


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


@pytest.mark.parametrize("command", ["prepare", "fit", "train", "tune", "compare", "study", "demo"])
def test_a_folder_that_another_process_works_on(tmp_path: Path, refused: Refused, command: str) -> None:
    out = tmp_path / "out"
    given = {"prepare": [small_logs.log()], "fit": [small_logs.log()], "demo": [], "study": ["table1"]}
    inputs = given.get(command, []) + (
        [small_logs.corpus()] if command in ("train", "tune", "compare", "study") else []
    )
    with held(out, CorpusError):
        said = refused(command, *inputs, "--out", out)
    assert re.fullmatch(
        rf"{re.escape(str(out))} is in use by process {os.getpid()} on \S+ since \S+ \S+;"
        " wait until it ends, or choose another --out",
        said,
    )


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
