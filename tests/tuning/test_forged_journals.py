"""A journal in which one value is forged: the study goes on, or the journal is named in one line."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import forgeries
import pytest
import small_logs

from segue.errors import ArtifactError, UserMistake
from segue.pipeline.settings import settings_for_corpus
from segue.settings import Nested
from segue.tuning.search import Budget, tune

COUNTS: Nested = {**small_logs.SMALL, "model": {"name": "item_knn"}}


def search(folder: Path) -> None:
    tune(small_logs.corpus(), folder, settings_for_corpus(small_logs.corpus(), COUNTS), Budget(trials=2))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study; not to be changed."""
    folder = tmp_path_factory.mktemp("study")
    search(folder)
    return folder


def test_a_forged_value_is_named_or_harmless(study: Path, tmp_path: Path) -> None:
    lines = (study / "study.journal").read_text().splitlines()
    refused = 0
    for number in range(80):
        draw = random.Random(number)
        folder = Path(shutil.copytree(study, tmp_path / str(number)))
        at = draw.randrange(len(lines))
        tree = json.loads(lines[at])
        _, forged = forgeries.forged_json(tree, draw.choice(list(forgeries.places(tree))), draw)
        (folder / "study.journal").write_text("\n".join([*lines[:at], forged, *lines[at + 1 :]]) + "\n")
        said = ""
        try:
            search(folder)
        except UserMistake as error:
            said = str(error)
        assert "\n" not in said
        refused += bool(said)
    assert refused > 40


def test_a_journal_that_is_no_file_is_named(study: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(study, tmp_path / "study"))
    (folder / "study.journal").unlink()
    os.mkfifo(folder / "study.journal")
    with pytest.raises(ArtifactError, match=r"is damaged: study\.journal .*no regular file"):
        search(folder)
