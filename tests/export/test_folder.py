"""The exported folder: its manifest, what is refused, and what a failure leaves."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import runs
import small_logs
import worlds
from exported_models import exported_model, manifest_of
from onnx_models import Exported as Graphs
from onnx_models import close, feed_of, session_of

import segue
from segue.errors import ArtifactError
from segue.export import folder as exporting
from segue.export.folder import export
from segue.lean.request import Asked, Past


def test_the_manifest_lists_every_file_with_its_hash_and_every_tensor() -> None:
    folder = exported_model()
    manifest = manifest_of(folder)
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    files.pop("manifest.json")
    assert manifest["sha256"] == files
    assert set(files) == {"encoder.onnx", "scorer.onnx", "items.json", "users.json"}
    for graph in manifest["graphs"].values():
        session = session_of(str(folder / graph["file"]))
        for kind, found in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
            said = [(each["name"], f"tensor({each['dtype']})", each["shape"]) for each in graph[kind]]
            names = {"tensor(float)": "tensor(float32)"}
            assert said == [(each.name, names.get(each.type, each.type), each.shape) for each in found]
            assert all(each["meaning"] for each in graph[kind])
    for name in ("encoder", "scorer"):
        model = onnx.load(folder / f"{name}.onnx")
        assert (model.opset_import[0].version, model.ir_version) == (manifest["opset"], manifest["ir_version"])


def test_the_vocabularies_are_those_of_the_model() -> None:
    folder, model = exported_model(), segue.load(small_logs.fitted_model())
    items, users = (json.loads((folder / f"{name}.json").read_text()) for name in ("items", "users"))
    assert items["ids"] == list(model.known_items.ids)
    assert items["names"] == [model.name(item) for item in items["ids"]]
    assert users["ids"] == list(model.known_users.ids)
    assert sum(items["events"]) == len(model.artifact.history.items)
    manifest = manifest_of(folder)
    assert manifest["unknown_user"] == len(users["ids"])
    assert manifest["trained_until"] == model.trained_until
    assert manifest["corpus_fingerprint"] == model.artifact.facts["corpus_fingerprint"]


@pytest.mark.parametrize("preset", ["paper", "authors-code", "memory"])
def test_a_folder_with_other_inputs_answers_as_segue_does(preset: str, tmp_path: Path) -> None:
    """Users with too few sessions for a vector are in the table too: they have a history and no vector."""
    options = {} if preset == "memory" else small_logs.SMALL["model"]
    settings = small_logs.with_settings(training={"max_epochs": 1}) | {"model": {**options, "preset": preset}}
    folder = runs.train(small_logs.corpus(), tmp_path / "model", settings)
    out = tmp_path / "exported"
    export(folder, out)
    manifest, model = manifest_of(out), segue.load(folder)
    assert manifest["model"] == {"name": "hg_gnn", "preset": preset}
    graphs = Graphs(*(session_of(str(out / f"{name}.onnx")) for name in ("encoder", "scorer")))
    nothing = Past(*(np.zeros(0, dtype=np.int64) for _ in range(2)), np.zeros(1, dtype=np.int64))
    for user in (*model.known_users.ids[:3], "nobody"):
        for items in (["first3", "second3"], ["b1"]):
            numbers, _ = model.known_items.numbers(items)
            row = model.known_users.number(user)
            asked = Asked(numbers, len(model.known_users) if row is None else row, model.trained_until, nothing, False)
            wanted = {entry.item: entry.score for entry in model.recommend(user, items, k=99, explain=False)}
            close(graphs.scores(feed_of([asked]))[0], np.array([wanted[item] for item in model.known_items.ids]))


def test_large_weights_have_a_file_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "LARGEST_FILE", 0)
    export(small_logs.fitted_model(), tmp_path / "out")
    assert {"encoder.onnx.data", "scorer.onnx.data"} < set(manifest_of(tmp_path / "out")["sha256"])
    one, other = (
        [session_of(str(folder / f"{name}.onnx")) for name in ("encoder", "scorer")]
        for folder in (tmp_path / "out", exported_model())
    )
    past = Past(np.array([1, 2]), np.full(2, worlds.BEGINNING), np.array([0, 2]))
    feed = feed_of([Asked(np.array([3, 1]), 2, worlds.BEGINNING, past, fresh=True)])
    assert (Graphs(*one).scores(feed) == Graphs(*other).scores(feed)).all()


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "write_text", fails)
    with pytest.raises(ArtifactError, match="No space left on device"):
        export(small_logs.fitted_model(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_exporting_does_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom segue.export.folder import export\n"
        "export(Path(sys.argv[1]), Path(sys.argv[2]))\nassert 'torch' not in sys.modules\n"
    )
    arguments = [small_logs.fitted_model(), tmp_path / "out"]
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True)
    assert ort.InferenceSession(tmp_path / "out" / "scorer.onnx").get_outputs()[0].name == "scores"
