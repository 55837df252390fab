"""``segue export`` on the command line."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import runs
import small_logs
from exported_models import manifest_of
from mistakes import Refused

from segue.artifact.names import ANSWERS
from segue.artifact.seal import seal
from segue.cli import app as cli

Capture = pytest.CaptureFixture[str]


def test_the_command_says_what_is_left_out(tmp_path: Path, capsys: Capture) -> None:
    assert cli.run(["export", str(small_logs.fitted_model()), "--onnx", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    manifest = manifest_of(tmp_path / "out")
    assert err.replace("\n", " ").strip() == f"not in the graphs: {'; '.join(manifest['left_out'])}"
    assert out.replace("\n", "").endswith("hg_gnn/segue, 0.1 MB, opset 18")
    assert cli.run(["export", str(small_logs.fitted_model()), "--onnx", str(tmp_path / "again"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == manifest  # the same bytes come of the same model


def test_models_without_graphs_are_refused(refused: Refused, tmp_path: Path) -> None:
    counting = small_logs.counting_model("markov", "")
    told = refused("export", counting, "--onnx", tmp_path / "out")
    assert told == (
        f"{counting}: markov cannot be exported: it counts, and has no session encoder; what can be: hg_gnn, with any"
        " preset"
    )
    network = runs.train(
        small_logs.corpus(), small_logs.corpus().parent / "narm", {**small_logs.SMALL, "model": {"name": "narm"}}
    )
    assert "narm cannot be exported: there are no graphs of its network" in refused(
        "export", network, "--onnx", tmp_path / "out"
    )


def test_a_folder_that_holds_something_is_not_replaced(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    told = refused("export", small_logs.fitted_model(), "--onnx", tmp_path / "out")
    assert told == f"{tmp_path / 'out'} exists already; choose another --onnx, or remove it"
    (tmp_path / "file").write_text("mine")
    assert "exists already" in refused("export", small_logs.fitted_model(), "--onnx", tmp_path / "file")
    assert "is not a trained model" in refused("export", tmp_path, "--onnx", tmp_path / "new")


def test_damaged_and_old_models_are_refused(refused: Refused, tmp_path: Path) -> None:
    model = shutil.copytree(small_logs.fitted_model(), tmp_path / "model")
    (model / ANSWERS).unlink()
    assert "is damaged" in refused("export", model, "--onnx", tmp_path / "out")
    seal(model)
    assert f"has no {ANSWERS}, which export reads; train it again" in refused(
        "export", model, "--onnx", tmp_path / "out"
    )


def test_the_library_is_asked_for(refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "onnx" else found(name, *more))
    told = refused("export", small_logs.fitted_model(), "--onnx", tmp_path / "out")
    assert told == "exporting needs one more package, onnx: pip install 'segue[export]'"
