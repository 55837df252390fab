"""A trained model on a part of its corpus: what is measured, and what cannot be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import forgeries
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import runs
import small_logs

from segue.artifact.model_folder import load_model
from segue.data.corpus import Part, Sessions, load
from segue.errors import ArtifactError
from segue.evaluation.slices import SLICES
from segue.pipeline import measurement as measuring
from segue.pipeline.stages import Options
from segue.settings import Nested

ONE_EPOCH = small_logs.with_settings(training={"max_epochs": 1})
PROMISED = [
    "split", "protocol", "history", "model", "corpus_fingerprint", "events", "sessions", "users",
    "metrics", "metrics_by_session", "metrics_by_user", "slices",
]  # fmt: skip
METRICS = ["HR@5", "HR@10", "HR@20", "MRR@5", "MRR@10", "MRR@20", "NDCG@5", "NDCG@10", "NDCG@20"]
POPULARITY: Nested = {**small_logs.SMALL, "model": {"name": "popularity"}}


def test_an_evaluation_has_the_promised_shape() -> None:
    folder = small_logs.fitted_model()
    result = measuring.read_evaluation(folder).as_dict()
    assert list(result)[: len(PROMISED)] == PROMISED
    assert (result["split"], result["protocol"], result["history"]) == ("test", "user_80_20", "frozen")
    assert result["model"] == "hg_gnn/segue"
    corpus = load(folder / "corpus")
    assert result["corpus_fingerprint"] == corpus.fingerprint
    test = corpus.select(Part.TEST)
    assert result["events"] == len(test.items) - len(test)
    assert (result["sessions"], result["users"]) == (len(test), small_logs.USERS)
    for averages in ("metrics", "metrics_by_session", "metrics_by_user"):
        assert list(result[averages]) == METRICS
        assert all(0 <= value <= 1 for value in result[averages].values())


def test_a_refitted_model_is_measured_on_test_only(tmp_path: Path) -> None:
    out = runs.train(small_logs.corpus(), tmp_path / "m", ONE_EPOCH, Options(refit=True))
    with pytest.raises(ArtifactError, match="validation part too"):
        measuring.evaluate_model(out, part=Part.VALIDATION)
    assert measuring.evaluate_model(out).as_dict()["split"] == "test"


def test_validation_of_a_selected_model_is_what_selection_saw(tmp_path: Path) -> None:
    out = runs.train(small_logs.corpus(), tmp_path / "m", ONE_EPOCH)
    (epoch,) = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    measured = measuring.evaluate_model(out, part=Part.VALIDATION).as_dict()["metrics"]
    assert measured == pytest.approx(epoch["validation"], abs=1e-9)


def test_another_corpus_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    rows = [(who, item.replace("second", "zweite"), when) for who, item, when in small_logs.rows()]
    runs.prepare(str(small_logs.write_csv(tmp_path / "log.csv", rows)), other, small_logs.SMALL)
    with pytest.raises(ArtifactError, match="trained on another corpus"):
        measuring.evaluate_model(small_logs.fitted_model(), other)


def test_a_corpus_that_knows_fewer_users_is_refused(tmp_path: Path) -> None:
    """The same ids, but the last user is one that only test knows: their row of the model means somebody else."""
    other = Path(shutil.copytree(small_logs.corpus(), tmp_path / "other"))
    users = pq.read_table(other / "users.parquet")
    known = pa.array([True] * (len(users) - 1) + [False])
    pq.write_table(users.set_column(users.column_names.index("known"), "known", known), other / "users.parquet")
    manifest = json.loads((other / "manifest.json").read_text())
    sizes = {**manifest["sizes"], "known_users": len(users) - 1}
    (other / "manifest.json").write_text(json.dumps({**manifest, "fingerprint": "another", "sizes": sizes}))
    forgeries.rehash(other)
    with pytest.raises(ArtifactError, match="trained on another corpus"):
        measuring.evaluate_model(small_logs.counting_model("popularity", "global"), other)


@pytest.mark.parametrize("part", [Part.TEST, Part.VALIDATION])
def test_a_split_that_plays_what_was_trained_on_is_refused(tmp_path: Path, part: Part) -> None:
    """Of each user's 18 sessions 13 were trained on; here the test part starts with the 11th, validation before."""
    other = tmp_path / "other"
    runs.prepare(str(small_logs.log()), other, small_logs.with_settings(split={"test": 0.4}))
    model = small_logs.counting_model("popularity", "global")
    learned = set(_keys(load_model(model).history))
    played = _keys(load(other).select(part))
    known = sum(key in learned for key in played)
    assert known > 0
    with pytest.raises(ArtifactError, match=rf"trained on {known} of the {len(played)} {part.name.lower()} sessions"):
        measuring.evaluate_model(model, other, part)


def _keys(sessions: Sessions) -> list[tuple[int, ...]]:
    bounds = zip(sessions.offsets[:-1], sessions.offsets[1:], sessions.user.tolist(), strict=True)
    return [(user, int(sessions.times[first]), *sessions.items[first:last].tolist()) for first, last, user in bounds]


def test_a_split_that_trains_on_other_sessions_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A smaller test part: every session it plays is new to the model, though it would have trained on more."""
    other = tmp_path / "other"
    runs.prepare(str(small_logs.log()), other, small_logs.with_settings(split={"test": 0.1}))
    measured = measuring.evaluate_model(small_logs.counting_model("popularity", "global"), other)
    assert "trained on other sessions" in caplog.text
    assert measured.as_dict()["sessions"] == len(load(other).select(Part.TEST))


def test_the_same_sessions_in_a_corpus_prepared_again_are_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Names of items change the fingerprint, but nothing that is measured."""
    other = tmp_path / "other"
    runs.prepare(str(small_logs.log()), other, small_logs.SMALL)
    model = small_logs.counting_model("popularity", "global")
    assert load(other).fingerprint != load_model(model).facts["corpus_fingerprint"]
    wanted = measuring.evaluate_model(model).as_dict()["metrics"]
    assert measuring.evaluate_model(model, other).as_dict()["metrics"] == wanted
    assert "other sessions" not in caplog.text


def test_a_corpus_that_moved_can_be_named(tmp_path: Path) -> None:
    corpus = Path(shutil.copytree(small_logs.corpus(), tmp_path / "corpus"))
    model = runs.train(corpus, tmp_path / "m", POPULARITY)
    wanted = measuring.evaluate_model(model).as_dict()
    corpus.rename(tmp_path / "moved")
    with pytest.raises(ArtifactError, match=r"no longer at .*--corpus"):
        measuring.evaluate_model(model)
    assert measuring.evaluate_model(model, tmp_path / "moved").as_dict() == wanted


def test_history_can_be_rolling(tmp_path: Path) -> None:
    model = small_logs.counting_model("popularity", "personal")
    frozen, rolling = (measuring.evaluate_model(model, history=policy).as_dict() for policy in ("frozen", "rolling"))
    assert rolling["history"] == "rolling"
    assert frozen["event_hash"] == rolling["event_hash"]
    assert frozen["metrics"] != rolling["metrics"]


def test_a_model_is_measured_as_its_settings_say(tmp_path: Path) -> None:
    asked: Nested = {**POPULARITY, "evaluation": {"history": "rolling", "mask_session": False}}
    out = runs.train(small_logs.fitted_model() / "corpus", tmp_path / "model", asked)
    measured = measuring.evaluate_model(out).as_dict()
    assert (measured["history"], measured["masked"]) == ("rolling", False)


def test_slices_of_the_events_are_read_back(tmp_path: Path) -> None:
    out = Path(shutil.copytree(small_logs.counting_model("popularity", "global"), tmp_path / "m"))
    evaluation = measuring.evaluate_model(out)
    measuring.write_evaluation(out, evaluation)
    found = measuring.read_slices(out)
    assert list(found) == list(SLICES)
    assert all(found[kind].tolist() == evaluation.slices[kind].tolist() for kind in SLICES)
    path = out / "evaluation" / "test.ranks.parquet"
    table = pq.read_table(path)
    pq.write_table(table.select(["user", "rank", "slice_target"]), path)
    assert list(measuring.read_slices(out)) == ["target"]
    pq.write_table(table.set_column(5, "slice_prefix_length", pa.array(["7"] * len(table))), path)
    with pytest.raises(ArtifactError, match=r"a slice is none of 1, 2-3, 4\+\); measure again with: segue evaluate"):
        measuring.read_slices(out)
    path.unlink()
    with pytest.raises(ArtifactError, match="cannot read"):
        measuring.read_slices(out)
