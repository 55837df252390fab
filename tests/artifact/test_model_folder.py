"""What is on disk: sealed, refused when damaged, replaced whole or not at all, and never a pickle."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import forgeries
import pytest
import runs
import small_logs
import torch
import worlds
from safetensors.torch import load_file, save_file

import segue
from segue.artifact import checkpoint
from segue.artifact import model_folder as artifact
from segue.artifact.checkpoint import load_checkpoint, save_checkpoint
from segue.artifact.model_folder import load_model
from segue.artifact.seal import seal
from segue.contract.encoder import SessionEncoder
from segue.data.corpus import Part, load
from segue.errors import ArtifactError
from segue.pipeline import measurement as measuring
from segue.pipeline.settings import settings_for_corpus
from segue.pipeline.stages import Options

ONE_EPOCH = small_logs.with_settings(training={"max_epochs": 1})
UNSEALED = {"manifest.json", "evaluation", "tensorboard", "report.html"}


def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_logs.fitted_model(), tmp_path / "model"))


def sealed_files() -> list[str]:
    """Every file of the fitted model that the promise of sealing covers, by listing the folder."""
    folder = small_logs.fitted_model()
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [str(name) for name in names if name.parts[0] not in UNSEALED]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(folder: Path, what: str) -> None:
    """By whoever reads it: loading takes the model's own files, measuring those of its corpus too."""
    with pytest.raises(ArtifactError, match=what) as caught:
        measuring.evaluate_model(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_what_is_read_scores_like_what_was_written(tmp_path: Path) -> None:
    corpus = load(small_logs.corpus())
    for overrides in (small_logs.SMALL, small_logs.with_settings(model={"preset": "paper"})):
        model = worlds.fitted(overrides, corpus)
        worlds.train(model, corpus, epochs=1)
        settings = settings_for_corpus(small_logs.corpus(), overrides)
        folder = tmp_path / str(settings.model.preset)
        folder.mkdir()
        artifact.write_model(folder, model, corpus, settings, {"trained_on": ["train"], "corpus": ""})
        seal(folder)
        stored = load_model(folder)
        stored.model.eval()  # type: ignore[attr-defined]
        batch = worlds.events_of(model, corpus)
        assert torch.equal(worlds.scores_of(stored.model, batch), worlds.scores_of(model, batch))
        assert stored.settings.model_dump(mode="json") == settings.model_dump(mode="json")
        assert stored.items.equals(corpus.items)
        assert stored.history.items.tolist() == corpus.train.items.tolist()
        assert stored.history.user.tolist() == corpus.train.user.tolist()


def test_a_model_that_is_read_answers_without_dropout() -> None:
    """It was read ready for training, so that two equal questions had two answers."""
    folder = small_logs.fitted_model()
    assert load_model(folder).settings.model.name == "hg_gnn"
    read = load_model(folder).model
    assert isinstance(read, SessionEncoder)
    assert not read.training


def test_the_manifest_has_the_hash_of_every_file() -> None:
    folder = small_logs.fitted_model()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["format"] == artifact.FORMAT
    assert sorted(manifest["sha256"]) == sealed_files()
    assert {"config.json", "model.safetensors", "history.safetensors", "items.parquet"} < set(manifest["sha256"])
    assert {"users.parquet", "metrics.jsonl", "corpus/train.parquet", "corpus/manifest.json"} < set(manifest["sha256"])
    for name, expected in manifest["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected


def test_the_artifact_says_what_it_was_made_of() -> None:
    config = json.loads((small_logs.fitted_model() / "config.json").read_text())
    corpus = load(small_logs.fitted_model() / "corpus")
    assert config["corpus_fingerprint"] == corpus.fingerprint
    assert (config["n_items"], config["n_users"]) == (corpus.n_items, corpus.n_users)
    assert config["trained_on"] == ["train"]
    assert config["settings"]["training"]["learning_rate"] == 0.03
    assert config["settings"]["model"]["preset"] == "segue"


def test_what_is_measured_later_is_not_sealed(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    for name in UNSEALED - {"manifest.json"}:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        (folder / name).write_text("something else")
    load_model(folder)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x20
    path.write_bytes(data)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [_flip, _truncate, Path.unlink])
def test_each_damaged_file_is_refused_by_name(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = copy(tmp_path)
    for name in sealed_files():
        whole = (folder / name).read_bytes()
        damage(folder / name)
        refused(folder, f"{re.escape(name)} (is missing|has changed)")
        (folder / name).write_bytes(whole)
        if not name.startswith("corpus/"):
            damage(folder / name)
            with pytest.raises(ArtifactError, match=re.escape(name)):
                load_model(folder)
            (folder / name).write_bytes(whole)
    measuring.evaluate_model(folder)


@pytest.mark.parametrize("damage", [_flip, Path.unlink])
def test_serving_does_not_open_the_corpus(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = copy(tmp_path)
    for path in (folder / "corpus").iterdir():
        damage(path)
    assert len(segue.load(folder).recommend(None, ["first1"], k=3)) == 3
    refused(folder, "corpus/.* (is missing|has changed)")
    with pytest.raises(ArtifactError, match=r"corpus/.* (is missing|has changed)"):
        measuring.evaluate_model(folder, folder / "corpus")
    measuring.evaluate_model(folder, small_logs.fitted_model() / "corpus")


def test_every_byte_of_the_manifest_counts(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    manifest = (folder / "manifest.json").read_bytes()
    visible = [place for place, byte in enumerate(manifest) if not chr(byte).isspace()]
    for place in visible[:: max(1, len(visible) // 150)] + visible[:60]:
        changed = bytearray(manifest)
        changed[place] ^= 0x01
        (folder / "manifest.json").write_bytes(changed)
        refused(folder, "damaged|format")
    (folder / "manifest.json").write_bytes(manifest[: len(manifest) // 2])
    refused(folder, "damaged")


@pytest.mark.parametrize("text", ["[]", "7", "{}", '{"format": "segue-model-1"}', "\udcff", '{"sha256": {}}'])
def test_a_manifest_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    folder = copy(tmp_path)
    (folder / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    refused(folder, "damaged")


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": "segue-model-99"}))
    refused(folder, "'segue-model-99'.*'segue-model-1'")


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "nowhere", "not a trained model")
    refused(tmp_path / "file", "not a trained model")
    refused(tmp_path, "not a trained model")
    refused(small_logs.corpus(), "segue-corpus")


def test_reading_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ArtifactError):
        measuring.evaluate_model(tmp_path)
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_nothing_is_pickled() -> None:
    folder = small_logs.fitted_model()
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.parent.name != "tensorboard"]
    assert {path.suffix for path in files} == {".json", ".jsonl", ".safetensors", ".parquet", ".html"}
    banned = re.compile(
        r"torch\.(load|save)\b|allow_pickle|(import|from) +(pickle|joblib|dill)\b|\b(pickle|joblib|dill)\.\w"
    )
    for path in Path(segue.__file__).parent.rglob("*.py"):
        code = re.sub(r'""".*?"""', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not banned.search(code), path


def test_an_existing_model_is_refused_then_replaced(tmp_path: Path) -> None:
    out = copy(tmp_path)
    before = contents(out)
    with pytest.raises(ArtifactError, match=r"exists already.*--overwrite"):
        runs.train(small_logs.corpus(), out, ONE_EPOCH)
    assert contents(out) == before
    runs.train(small_logs.corpus(), out, ONE_EPOCH, Options(overwrite=True))
    assert load_model(out).facts["settings"]["training"]["max_epochs"] == 1
    assert not (out / "corpus").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_empty_folder_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    load_model(runs.train(small_logs.corpus(), tmp_path / "model", ONE_EPOCH))


@pytest.mark.parametrize("kind", ["folder", "web app", "corpus", "file"])
def test_what_is_not_a_model_is_never_replaced(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "corpus":
        shutil.copytree(small_logs.corpus(), out)
    elif kind == "file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / ("manifest.json" if kind == "web app" else "notes.txt")).write_text('{"name": "mine"}')
    before = contents(tmp_path)
    with pytest.raises(ArtifactError, match="not a model that Segue wrote"):
        runs.train(small_logs.corpus(), out, ONE_EPOCH, Options(overwrite=True))
    assert contents(tmp_path) == before


def test_a_neighbour_called_old_is_left_alone(tmp_path: Path) -> None:
    out = copy(tmp_path)
    for name in ("model.old", ".model"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("mine")
    runs.train(small_logs.corpus(), out, ONE_EPOCH, Options(overwrite=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".model", "model", "model.old"]
    assert (tmp_path / "model.old" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_folder_without_a_name_is_refused(name: str) -> None:
    with pytest.raises(ArtifactError, match="no name for a new folder"):
        runs.train(small_logs.corpus(), Path(name), ONE_EPOCH, Options(overwrite=True))


def _no_space(*_: Any, **__: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


# The places where a run writes, in their order, and whether the run can be resumed from there.
WRITES = {
    "the note": ("segue.artifact.partial_run.write_text", False),
    "the first checkpoint": ("segue.artifact.checkpoint.save_file", False),
    "the vocabulary": ("segue.artifact.model_folder.pq.write_table", True),
    "the seal": ("segue.artifact.seal.sha256_of", True),
    "the last rename": ("segue.system.replacing.exchange", True),
}


@pytest.mark.parametrize("place", WRITES)
def test_a_full_disk_leaves_the_old_model_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    out = copy(tmp_path)
    before = contents(out)
    name, resumable = WRITES[place]
    monkeypatch.setattr(name, _no_space)
    with pytest.raises(ArtifactError, match="No space left on device") as caught:
        runs.train(small_logs.corpus(), out, ONE_EPOCH, Options(overwrite=True))
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert contents(out) == before
    if resumable:
        runs.train(small_logs.corpus(), out, ONE_EPOCH, Options(overwrite=True, resume=True))
        assert load_model(out).facts["settings"]["training"]["max_epochs"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_failed_checkpoint_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.checkpoint"
    save_checkpoint(path, {"x": torch.arange(3)}, {"step": 1})
    real = checkpoint.save_file

    def half(tensors: Any, file: Path, metadata: Any) -> None:
        real(tensors, file, metadata)
        _no_space()

    monkeypatch.setattr(checkpoint, "save_file", half)
    with pytest.raises(ArtifactError, match="No space left"):
        save_checkpoint(path, {"x": torch.arange(4)}, {"step": 2})
    tensors, state = load_checkpoint(path)
    assert (tensors["x"].tolist(), state) == ([0, 1, 2], {"step": 1})
    assert [each.name for each in tmp_path.iterdir()] == ["metrics.checkpoint"]


def test_a_failed_evaluation_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy(tmp_path)
    before = contents(folder)
    measured = measuring.evaluate_model(folder, part=Part.TEST, history="rolling")
    monkeypatch.setattr("segue.evaluation.full_ranking.pq.write_table", _no_space)
    with pytest.raises(ArtifactError, match="No space left"):
        measuring.write_evaluation(folder, measured)
    assert contents(folder) == before


def test_every_file_of_a_model_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        model = runs.fit(str(small_logs.log()), tmp_path / "model", ONE_EPOCH)
    finally:
        os.umask(before)
    modes = {str(path.relative_to(model)): path.stat().st_mode & 0o777 for path in model.rglob("*") if path.is_file()}
    assert modes == dict.fromkeys(modes, 0o640)


def test_a_file_of_a_model_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read any file: the refusal of the system is put in its place."""
    model = copy(tmp_path)
    opened = Path.open

    def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "history.safetensors":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    refused(model, r"cannot be read: history\.safetensors: Permission denied")


@pytest.mark.parametrize(
    "name", ["../../../../../../../../etc/passwd", "/etc/passwd", "", "notes.txt", "corpus/../config.json", "run.json"]
)
def test_only_the_files_of_a_model_are_listed(tmp_path: Path, name: str) -> None:
    folder = copy(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"][name] = hashlib.sha256(Path("/etc/passwd").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    refused(folder, f"it lists {re.escape(repr(name))}, which is no file")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "history.safetensors", "items.parquet"])
def test_every_file_of_a_model_is_listed(tmp_path: Path, name: str) -> None:
    folder = copy(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"][name]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    refused(folder, f"it lists no checksum of {name}")


def test_a_file_may_be_a_link_to_one_that_holds_the_same(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    (folder / "items.parquet").rename(tmp_path / "elsewhere")
    (folder / "items.parquet").symlink_to(tmp_path / "elsewhere")
    measuring.evaluate_model(folder)
    (tmp_path / "elsewhere").write_bytes(b"something else")
    refused(folder, "items.parquet has changed since")


def test_a_measurement_is_not_written_through_a_link(tmp_path: Path) -> None:
    folder, elsewhere = copy(tmp_path), tmp_path / "elsewhere"
    elsewhere.mkdir()
    evaluation = measuring.evaluate_model(folder)
    for name in ("test.json", "test.ranks.parquet"):
        (elsewhere / name).write_text("kept")
        (folder / "evaluation" / name).unlink(missing_ok=True)
        (folder / "evaluation" / name).symlink_to(elsewhere / name)
        (folder / "evaluation" / f"{name}.writing").symlink_to(elsewhere / name)
    measuring.write_evaluation(folder, evaluation)
    assert not any(path.is_symlink() for path in (folder / "evaluation").iterdir())
    shutil.rmtree(folder / "evaluation")
    (folder / "evaluation").symlink_to(elsewhere)
    with pytest.raises(ArtifactError, match="evaluation is a link, nothing is written through it"):
        measuring.write_evaluation(folder, evaluation)
    assert {path.read_text() for path in elsewhere.iterdir()} == {"kept"}


def test_scores_that_are_not_finite_are_a_damaged_model(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_logs.counting_model("markov", ""), tmp_path / "model"))
    arrays = load_file(folder / "model.safetensors")
    huge = {"values": torch.full_like(arrays["values"], 1.7e308), "fill": torch.full_like(arrays["fill"], 1.7e308)}
    save_file({**arrays, **huge}, folder / "model.safetensors")
    forgeries.rehash(folder)
    with pytest.raises(ArtifactError, match="cannot be measured"):
        measuring.evaluate_model(folder, small_logs.corpus())
    with pytest.raises(ArtifactError, match="scores that are not finite"):
        segue.load(folder).recommend(None, ["first1"])
