"""Answers do without torch where the model can, and say the same; old and damaged folders are read or refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_logs
from lean_models import close
from safetensors.numpy import load_file, save_file
from served import KNOWN, OTHER, counting, ids, model, scores

import segue
from segue.artifact.model_folder import read_model
from segue.artifact.names import ANSWERS, MANIFEST
from segue.artifact.seal import seal
from segue.errors import ArtifactError, RequestError
from segue.serving.asking import Request
from segue.serving.ranking import best
from segue.serving.recommender import Recommender
from segue.serving.through_torch import ThroughTorch

SESSION = ["first3", "second3"]
ANSWERING = """
import sys
import segue
assert "torch" not in sys.modules
model = segue.load(sys.argv[1])
assert model.recommend("user00", ["first3", "second3"], k=3)[0].because["text"]
assert "torch" not in sys.modules, "answers imported torch"
assert "duckdb" not in sys.modules and "pandas" not in sys.modules and "scipy" not in sys.modules
"""


@cache
def through_torch() -> Recommender:
    return Recommender(model().artifact, ThroughTorch(read_model(small_logs.fitted_model()).model))


@pytest.mark.parametrize(
    "asked",
    [
        {"user": KNOWN, "items": SESSION},
        {"user": OTHER, "items": ["b2"] * 30, "k": 32},
        {"user": None, "items": ["first3"], "exclude": ["b1", "first4"]},
        {"user": "nobody", "items": SESSION, "history": ["b1", "b2", "b1", "not sold here"]},
        {"user": KNOWN, "items": ["first1"], "history": ["b4"], "exclude_seen": "history"},
        {"user": KNOWN, "items": [], "exclude_seen": "session"},
        {"user": None, "items": []},
        {"user": KNOWN, "items": ["unknown"], "candidates": ["a1", "b1", "first1", "nothing"]},
        {"user": KNOWN, "items": SESSION, "time": 0},
        {"user": KNOWN, "items": SESSION, "time": np.datetime64("2031-01-01")},
        {"user": KNOWN, "items": SESSION, "discover": 0.5},
    ],
)
def test_the_answers_are_those_of_torch(asked: dict[str, Any]) -> None:
    lean, torch = model().recommend(**asked), through_torch().recommend(**asked)
    assert (lean.skipped, lean.user_known, lean.warnings) == (torch.skipped, torch.user_known, torch.warnings)
    assert len(lean) == len(torch)
    values = [[entry.score for entry in answer] for answer in (lean, torch)]
    close(np.array(values[0]), values[1])
    of_torch = scores(torch)
    for ours, theirs in zip(lean, torch, strict=True):
        assert ours.item == theirs.item or of_torch.get(ours.item) == pytest.approx(theirs.score, abs=1e-5)
        assert list(ours.because) == list(theirs.because)
        if ours.item == theirs.item:
            assert ours.discovery == theirs.discovery
            assert ours.because["terms"] == pytest.approx(theirs.because["terms"], abs=2e-5)


def test_answers_import_no_torch() -> None:
    command = [sys.executable, "-c", ANSWERING, str(small_logs.fitted_model())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_command_imports_no_torch() -> None:
    code = "import sys; from segue.cli import app; app.run(sys.argv[1:]); assert 'torch' not in sys.modules"
    command = [sys.executable, "-c", code, "recommend", str(small_logs.fitted_model()), "--items", "first3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 10), done.stderr


def test_a_model_without_a_form_of_its_own_is_answered_through_torch() -> None:
    assert isinstance(counting("session_knn", "vsknn_ebr").model, ThroughTorch)  # with reminders


def copied(folder: Path) -> Path:
    shutil.copytree(small_logs.fitted_model(), folder)
    return folder


def test_a_folder_of_an_earlier_version_answers_all_the_same(tmp_path: Path) -> None:
    folder = copied(tmp_path / "m")
    (folder / ANSWERS).unlink()
    seal(folder)
    assert segue.load(folder).recommend(KNOWN, SESSION) == model().recommend(KNOWN, SESSION)


@pytest.mark.parametrize("sealed", [True, False])
def test_answers_of_another_format_or_of_somebody_else_are_not_read(tmp_path: Path, sealed: bool) -> None:
    folder = copied(tmp_path / "m")
    save_file({"refined.item": np.zeros((1, 1))}, folder / ANSWERS, metadata={"format": "segue-answers-0"})
    if sealed:
        seal(folder)
    else:
        manifest = json.loads((folder / MANIFEST).read_text())
        del manifest["sha256"][ANSWERS]
        (folder / MANIFEST).write_text(json.dumps(manifest))
    assert segue.load(folder).recommend(KNOWN, SESSION) == model().recommend(KNOWN, SESSION)


def _without(name: str) -> Any:
    return lambda arrays, texts: arrays.pop(name)


def _options(**changed: Any) -> Any:
    return lambda arrays, texts: texts.update(options=json.dumps({**json.loads(texts["options"]), **changed}))


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (_without("refined.user"), "array 'refined.user' is missing"),
        (lambda arrays, texts: arrays.update({"refined.item": np.zeros((3, 8), np.float32)}), "[3, 8], expected"),
        (lambda arrays, texts: arrays["refined.item"].fill(np.nan), "values reach from nan to nan"),
        (lambda arrays, texts: texts.update(form="oracle"), "there is no form of answers 'oracle'"),
        (lambda arrays, texts: texts.update(options="[]"), "expected an object, found a list"),
        (_options(layers=-1), "window, dim and layers are counts"),
        (_options(memory=["rumours"]), "memory"),
        (_options(dim=7), "expected float32 [32, 7]"),
    ],
)
def test_forged_answers_are_refused_in_one_line(tmp_path: Path, damage: Any, found: str) -> None:
    folder = copied(tmp_path / "m")
    texts = {"format": "segue-answers-1", "form": "hg_gnn"}
    texts["options"] = read_model(folder).model.config.model_dump_json()
    arrays = {name: array.copy() for name, array in load_file(folder / ANSWERS).items()}
    damage(arrays, texts)
    save_file(arrays, folder / ANSWERS, metadata=texts)
    seal(folder)
    with pytest.raises(ArtifactError) as refused:
        segue.load(folder)
    assert found in str(refused.value)
    assert "\n" not in str(refused.value)


def test_many_requests_are_answered_as_each_by_itself() -> None:
    asked: list[Any] = [
        {"user": KNOWN, "items": SESSION, "k": 3},
        {"items": []},
        Request(OTHER, ["b1"], k=2, explain=False),
        {"user": "nobody", "items": ["first2"], "exclude": ["a1"], "discover": 0.5},
    ] * 20
    many = list(model().recommend_many(iter(asked)))
    assert len(many) == len(asked)
    for request, answer in zip(asked, many, strict=True):
        fields = vars(request) if isinstance(request, Request) else {"user": None, **request}
        alone = model().recommend(**fields)
        assert ids(answer) == ids(alone)
        close(np.array([e.score for e in answer]), [e.score for e in alone])
        assert answer.warnings == alone.warnings
        assert [entry.because.get("text") for entry in answer] == [entry.because.get("text") for entry in alone]


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        ({"items": "milk"}, "request 2: items are a list of ids"),
        ({"item": ["milk"]}, "request 2: a request has no 'item'; it has user, items, k"),
        (["milk"], "request 2: a request is a mapping of user, items, k"),
    ],
)
def test_a_bad_request_of_many_is_named(request_: Any, found: str) -> None:
    with pytest.raises(RequestError) as refused:
        list(model().recommend_many([{"items": ["first1"]}, request_]))
    assert str(refused.value).startswith(found)


def test_reasons_can_be_left_out() -> None:
    plain, explained = (model().recommend(KNOWN, SESSION, explain=explain) for explain in (False, True))
    assert [replace(entry, because={}) for entry in explained] == list(plain)
    assert all("because" not in entry for entry in plain.as_dict()["items"])
    assert all("because" in entry for entry in explained.as_dict()["items"])


def test_similar_items() -> None:
    found = model().similar("first3", k=4)
    assert len(found) == 4
    assert "first3" not in {entry.item for entry in found}
    assert [entry.score for entry in found] == sorted((entry.score for entry in found), reverse=True)
    assert len(model().similar("first3", k=1000)) == 4 * small_logs.TOPICS - 1
    with pytest.raises(RequestError, match="item 'soap' is unknown to the model"):
        model().similar("soap")
    with pytest.raises(RequestError, match="nothing is similar in it"):
        counting("session_knn", "v_sknn").similar("first3")


@pytest.mark.parametrize("items", [1, 63, 64, 1000, 20_000])
@pytest.mark.parametrize("k", [1, 10, 200])
def test_the_best_are_those_of_a_stable_sort(items: int, k: int) -> None:
    random = np.random.default_rng(items)
    for drawn in (random.normal(size=items), random.integers(0, 4, items), np.full(items, -np.inf)):
        assert best(drawn.astype(np.float32), k).tolist() == np.argsort(-drawn, kind="stable")[:k].tolist()
