"""The guide on adding a model: its file is a model, its commands run, and the tests that it promises run and pass."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_logs
import worlds

from segue import models
from segue.cli import app as cli
from segue.contract.encoder import SessionEncoder
from segue.contract.model import SessionModel

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guide" / "adding-a-model.md").read_text(encoding="utf-8")
(CODE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line.strip() for line in PAGE.splitlines() if line.startswith("    segue ")]
(TESTS,) = (line.strip() for line in PAGE.splitlines() if line.startswith("    python -m pytest "))
NAME = "successors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that holds nothing but the file of the page."""
    folder = tmp_path / "more_models"
    folder.mkdir()
    (folder / f"{NAME}.py").write_text(CODE, encoding="utf-8")
    return folder


@pytest.fixture
def registered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The file of the page among the models, as if it lay in their folder."""
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(folder)])
    yield
    sys.modules.pop(f"{models.__name__}.{NAME}", None)
    vars(models).pop(NAME, None)


@pytest.mark.usefixtures("registered")
def test_the_file_of_the_page_is_a_model() -> None:
    assert NAME in models.names()
    corpus = worlds.corpus_of([[[0, 1, 2], [0, 1, 3], [1, 3]]])
    model = worlds.fitted({"model": {"name": NAME}}, corpus)
    scores = worlds.scores_of(model, worlds.request_of(model, [0, 1]))
    # 1 was followed by 2 once and by 3 twice; 0, a click earlier, twice by 1.
    assert scores.tolist() == [[0.0, 0.5 * 2, 1.0, 2.0]]


@pytest.mark.usefixtures("registered")
def test_the_commands_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {shlex.split(command)[1] for command in COMMANDS} == {"train", "evaluate", "recommend", "compare"}
    (tmp_path / "corpus").symlink_to(small_logs.corpus())
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        assert cli.run(shlex.split(command)[1:]) == 0, (command, capsys.readouterr().err)
    assert f"{NAME}/halving" in capsys.readouterr().out


def test_the_tests_that_the_page_promises_run_and_pass(folder: Path, tmp_path: Path) -> None:
    plugin = f"from segue import models\nmodels.__path__.append({str(folder)!r})\n"
    (tmp_path / "with_successors.py").write_text(plugin, encoding="utf-8")
    command = [sys.executable, *shlex.split(TESTS)[1:], "-p", "with_successors", "-p", "no:cacheprovider", "-rA"]
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    run = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:]
    passed = set(re.findall(rf"^PASSED \S+::(\w+)\[.*{NAME}", run.stdout, re.MULTILINE))
    assert {"test_the_cycle_is_learned", "test_renumbering_items_renumbers_the_scores_only"} <= passed
    assert len(passed) >= 15, sorted(passed)


def test_the_page_names_all_that_a_class_says_about_itself() -> None:
    named = set(re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE))
    said = {name for name in SessionModel.__annotations__ if name.islower()} | {"Config"}
    properties = {
        n for kind in (SessionModel, SessionEncoder) for n, v in vars(kind).items() if isinstance(v, property)
    }
    assert named == said | properties
