"""``segue audit`` on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import leaks
import pytest
import small_logs
from mistakes import Refused

from segue.audit.finding import FORMAT
from segue.cli import app as cli
from segue.data.corpus import Part

Capture = pytest.CaptureFixture[str]


def audit(capsys: Capture, code: int, *arguments: object) -> str:
    assert cli.run(["audit", *map(str, arguments)]) == code
    return capsys.readouterr()[0]


def test_a_clean_corpus_is_one_line_per_check_and_exit_code_0(capsys: Capture) -> None:
    lines = audit(capsys, 0, leaks.corpus()).splitlines()
    assert lines[0] == "clean  sessions in two parts: no session is in two parts"
    assert lines[-1] == "No leak was found by 13 checks."
    assert all(line.startswith(("clean ", "share ", "not checked: ")) for line in lines[:-1])


def test_a_leak_is_named_and_exit_code_1(capsys: Capture, tmp_path: Path) -> None:
    folder = leaks.copy(leaks.corpus(), tmp_path / "c")
    twice = leaks.rows_of(folder, Part.TEST)[0]
    leaks.change_rows(folder, Part.TRAIN, lambda rows: [*rows, twice])
    page = tmp_path / "audit.md"
    told = json.loads(audit(capsys, 1, folder, "--json", "--out", page))
    assert (told["format"], told["kind"]) == (FORMAT, "corpus")
    assert "sessions in two parts" in told["leaks"]
    assert {"name", "checked", "verdict", "found", "numbers"} == set(told["findings"][0])
    written = page.read_text()
    assert "| sessions in two parts | **leak** |" in written
    assert "## What these checks cannot tell" in written
    assert all(limit.split(":")[0] in written for limit in told["cannot"])


def test_a_model_and_its_page_in_html(capsys: Capture, tmp_path: Path) -> None:
    page = tmp_path / "audit.html"
    told = audit(capsys, 0, small_logs.counting_model("markov", ""), "--out", page)
    assert "clean  markers after the cut: 60 marked sessions of validation and test" in told
    assert '<th scope="row">markers after the cut</th>' in page.read_text()


def test_a_corpus_that_has_moved_is_found_by_its_new_name(capsys: Capture, tmp_path: Path) -> None:
    moved = shutil.copytree(small_logs.corpus(), tmp_path / "moved")
    model = small_logs.counting_model("markov", "")
    assert "No leak was found" in audit(capsys, 0, model, "--corpus", moved, "--log", small_logs.log())


def test_files_of_another_library(capsys: Capture, tmp_path: Path) -> None:
    names = ("u", "what", "timestamp")
    train = small_logs.write_csv(tmp_path / "a.csv", [("x", "i", "2025-01-01T09:00:00Z")], names)
    test = small_logs.write_csv(tmp_path / "b.csv", [("x", "i", "2025-01-02T09:00:00Z")], names)
    columns = ("--set", "columns.user_id=u", "--set", "columns.item_id=what")
    assert "No leak was found by 5 checks." in audit(capsys, 0, "--train", train, "--test", test, *columns)
    told = audit(capsys, 1, "--train", train, "--test", train, *columns)
    assert "leak   events copied across the cut: 1 of 1 test events (100.0 %) stand in train too" in told


def test_mistakes_end_in_one_line(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    neither = "is neither a prepared corpus nor a trained model; name one, or --train and --test of another library"
    assert refused("audit", tmp_path / "nothing") == f"{tmp_path / 'nothing'} {neither}"
    both = "name a corpus or a model, or both --train and --test of another library"
    assert refused("audit") == refused("audit", "--train", small_logs.log()) == both
    assert refused("audit", leaks.corpus(), "--test", small_logs.log()) == both
    log = small_logs.log()
    assert "are for a corpus or a model of Segue" in refused("audit", "--train", log, "--test", log, "--log", log)
    assert "is none; leave them out" in refused("audit", leaks.corpus(), "--retrain")
    assert "name a file that ends in .md or .html" in refused("audit", leaks.corpus(), "--out", tmp_path / "p.txt")
    assert "there is no folder" in refused("audit", leaks.corpus(), "--out", tmp_path / "no" / "p.md")
    assert "no such file" in refused("audit", "--train", tmp_path / "gone.csv", "--test", log)


def test_other_versions_and_damaged_files_end_in_one_line(refused: Refused, tmp_path: Path) -> None:
    corpus = leaks.copy(leaks.corpus(), tmp_path / "c")
    (corpus / "train.parquet").write_bytes(b"")
    assert refused("audit", corpus).endswith("train.parquet has changed since it was prepared; prepare it again")
    leaks.change_manifest(corpus, lambda manifest: manifest.update(format="segue-corpus-9"))
    assert "has format 'segue-corpus-9', this Segue reads" in refused("audit", corpus)
    model = leaks.copy(small_logs.counting_model("markov", ""), tmp_path / "m")
    (model / "history.safetensors").write_bytes(b"")
    assert "is damaged: history.safetensors has changed since; train it again" in refused("audit", model)
    (model / "manifest.json").write_text('{"format": "segue-model-9"}')
    assert "has format 'segue-model-9', this Segue reads" in refused("audit", model)
