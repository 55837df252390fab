"""What a killed process leaves of a run: never sealed, swept by name, and never a dead end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import runs
import small_logs

import segue
from segue.artifact.model_folder import load_model
from segue.artifact.partial_run import finish_publishing, partial_of
from segue.errors import ArtifactError
from segue.pipeline.stages import Options
from segue.settings import Nested
from segue.system.holding import held

POPULARITY: Nested = {**small_logs.SMALL, "model": {"name": "popularity"}}


class Killed(BaseException):
    """Leaves everything as it is."""


def killed(out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was killed after its corpus was prepared."""

    def kill(folder: Path) -> None:
        raise Killed

    monkeypatch.setattr("segue.pipeline.fit._check_measurable", kill)
    with pytest.raises(Killed):
        fitted(out)
    monkeypatch.undo()
    return partial_of(out)


def fitted(out: Path, **how: bool) -> Path:
    return runs.fit(str(small_logs.log()), out, POPULARITY, Options(**how))


LITTER = (
    ".tmpAb12cD",
    ".corpus.1a2b3c4d.partial/corpus/items.parquet",
    ".corpus.segue-new/scratch/spill",
    ".corpus.segue-lock",
    "scratch/spill-1/block",
    "manifest.json.writing",
    "metrics.checkpoint.writing",
    "evaluation/test.json.writing",
)


def test_what_a_killed_process_left_is_swept_and_not_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "m"
    partial = killed(out, monkeypatch)
    for name in LITTER:
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        (partial / name).write_text("half")
    (partial / "notes.txt").write_text("mine")
    fitted(out, resume=True)
    segue.load(out)
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert not found & set(LITTER)
    assert (out / "notes.txt").read_text() == "mine", "it is somebody's, and nothing of ours"
    assert "notes.txt" not in json.loads((out / "manifest.json").read_text())["sha256"]
    (out / "notes.txt").unlink()
    fitted(out, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("left", [[], ["run.json.writing"]])
@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_before_its_note_a_run_begins_again(tmp_path: Path, left: list[str], overwrite: bool) -> None:
    out = tmp_path / "m"
    partial_of(out).mkdir()
    for name in left:
        (partial_of(out) / name).write_text("{")
    with pytest.raises(ArtifactError, match="nothing to resume"):
        fitted(out, resume=True)
    fitted(out, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("command", [{}, {"overwrite": True}, {"resume": True}])
def test_killed_after_its_model_was_there(tmp_path: Path, command: dict[str, bool]) -> None:
    """The models were exchanged: the former one lies where the run was, the new one still has its note."""
    out = tmp_path / "m"
    fitted(out)
    shutil.copytree(out, partial_of(out))
    (out / "run.json").write_text(json.dumps({"settings": {}}))
    (out / "metrics.checkpoint").write_text("tensors")
    if command == {"overwrite": True}:
        fitted(out, **command)
    else:
        with pytest.raises(ArtifactError, match=r"exists already|nothing to resume"):
            fitted(out, **command)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert not (out / "run.json").exists()
    assert not (out / "metrics.checkpoint").exists()
    load_model(out)


def test_a_finished_model_has_nothing_to_finish(tmp_path: Path) -> None:
    """Its neighbour is a model that somebody keeps under that name."""
    out = fitted(tmp_path / "m")
    shutil.copytree(out, partial_of(out))
    finish_publishing(out)
    load_model(partial_of(out))
    with pytest.raises(ArtifactError, match="is not Segue's"):
        fitted(out, overwrite=True)


def test_a_run_that_is_going_on_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "m"
    for how in ({}, {"resume": True}, {"overwrite": True}):
        with held(out, ArtifactError), pytest.raises(ArtifactError, match=r"m is in use by process \d+ on .* since "):
            fitted(out, **how)
    fitted(out)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "m").symlink_to("disk/model")
    fitted(tmp_path / "m")
    fitted(tmp_path / "m", overwrite=True)
    runs.prepare(str(small_logs.log()), tmp_path / "m" / "again", POPULARITY)
    assert (tmp_path / "m").is_symlink()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["model"]
    assert [path.name for path in (tmp_path / "disk" / "model").iterdir() if path.name == "again"] == ["again"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "m"]


def test_a_run_does_not_live_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "m.partial").symlink_to("mine")
    for how in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(ArtifactError, match=r"m\.partial, where the run would live, is a symbolic link; remove it"):
            fitted(tmp_path / "m", **how)
    assert list((tmp_path / "mine").iterdir()) == []
