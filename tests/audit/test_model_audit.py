"""Models with a leak put in on purpose are refuted, each by its name; honest ones of every kind are not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import forgeries
import leaks
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import runs
import small_logs
import torch

from segue import models
from segue.artifact.model_folder import load_model
from segue.audit.arrays import differences, identical
from segue.audit.finding import Finding
from segue.audit.markers import marked
from segue.audit.model import audit_model
from segue.contract.encoder import SessionEncoder
from segue.data.corpus import Corpus, Part, load
from segue.errors import ArtifactError, CorpusError
from segue.models.narm import NARM
from segue.models.popularity import Popularity
from segue.pipeline.stages import Options
from segue.settings import Nested

TABLES = "tables counted from train"
MARKERS = "markers after the cut"
SMALL_TRAINING = {"max_epochs": 2, "batch_events": 64, "threads": 1}
SEGUE: Nested = {"model": {"name": "hg_gnn", "preset": "segue", "dim": 4}, "training": SMALL_TRAINING}
LATER = {"train + validation": [Part.TRAIN, Part.VALIDATION], "train + test": [Part.TRAIN, Part.TEST]}


def found(folder: Path, **options: Any) -> dict[str, Finding]:
    return {finding.name: finding for finding in audit_model(folder, **options).findings}


def whole() -> Corpus:
    return load(leaks.corpus())


def with_test() -> Corpus:
    return whole().with_train([Part.TRAIN, Part.TEST])


@pytest.mark.parametrize("protocol", ["user_80_20", "global_time"])
@pytest.mark.parametrize(
    "model",
    [
        {"name": "popularity", "preset": "recent"},
        {"name": "markov"},
        {"name": "item_knn", "preset": "bm25"},
        {"name": "ease"},
        {"name": "slist"},
        {"name": "session_knn", "preset": "v_sknn"},
    ],
)
def test_an_honest_counting_model_is_clean(tmp_path: Path, protocol: str, model: dict[str, str]) -> None:
    folder = runs.train(leaks.corpus(protocol), tmp_path / "m", {"model": model})
    checks = found(folder)
    assert [check for check in checks.values() if check.verdict in ("leak", "cannot")] == []
    assert "no byte changed" in checks[MARKERS].found
    assert "learned weights" not in checks


def test_an_honest_fit_is_clean_and_so_are_its_weights() -> None:
    checks = found(small_logs.fitted_model(), retraining=True)
    assert [check.name for check in checks.values() if check.verdict in ("leak", "cannot")] == ["attributes"]
    assert "equal bit by bit" in checks[TABLES].found
    assert checks["learned weights"].numbers["as_stored"] is True


def test_what_is_not_trained_again_is_said_to_be_open() -> None:
    assert found(small_logs.fitted_model())["learned weights"].verdict == "cannot"


@pytest.mark.parametrize("name", models.names())
def test_what_no_training_moves_is_the_same_after_a_second_fit(name: str) -> None:
    model = leaks.fitted(whole(), {"model": {"name": name}}, leaks.corpus())
    again = leaks.fitted(whole(), {"model": {"name": name}}, leaks.corpus())
    assert model.learned <= set(model.arrays())
    assert identical(model.arrays(), again.arrays())
    assert bool(model.learned) == isinstance(model, SessionEncoder)


def test_a_refitted_and_a_final_model_are_taken_as_what_they_say(tmp_path: Path) -> None:
    wanted: Nested = {**leaks.settings("user_80_20"), "model": {"name": "markov"}}
    refitted = runs.fit(str(leaks.log()), tmp_path / "r", wanted, Options(refit=True))
    assert [check for check in found(refitted).values() if check.verdict in ("leak", "cannot")] == []
    final = found(runs.fit(str(leaks.log()), tmp_path / "f", wanted, Options(final=True)))
    assert [check.name for check in final.values() if check.verdict in ("leak", "cannot")] == [MARKERS]


COUNTED = {
    "popularity": ({"name": "popularity"}, "popularity"),
    "transitions": ({"name": "markov"}, "values"),
    "similar items": ({"name": "item_knn"}, "values"),
    "neighbours": ({"name": "session_knn", "preset": "v_sknn"}, "item"),
    "normaliser": ({"name": "session_knn", "preset": "v_sknn", "idf_counts": "events"}, "events"),
    "graph": (SEGUE["model"], "graph."),
    "memory": (SEGUE["model"], "recall."),
}


@pytest.mark.parametrize("parts", LATER)
@pytest.mark.parametrize("kind", COUNTED)
def test_counts_of_later_parts_are_found_and_their_source_is_named(tmp_path: Path, kind: str, parts: str) -> None:
    model, array = COUNTED[kind]
    later = leaks.fitted(whole().with_train(LATER[parts]), {"model": model}, leaks.corpus())
    folder = leaks.stored(tmp_path / "m", leaks.corpus(), {"model": model}, later)
    check = found(folder)[TABLES]
    assert check.verdict == "leak"
    assert any(name.startswith(array) for name in check.numbers["differ"])
    reached = parts.removeprefix("train + ")
    assert f"they are exactly what these parts with {reached} give: {reached} reached them" in check.found


@pytest.mark.parametrize("kind", ["popularity", "transitions", "graph", "memory", "neighbours"])
def test_a_single_test_session_is_found_in_every_table(tmp_path: Path, kind: str) -> None:
    model, _ = COUNTED[kind]
    later = leaks.fitted(leaks.one_session_more(whole()), {"model": model}, leaks.corpus())
    check = found(leaks.stored(tmp_path / "m", leaks.corpus(), {"model": model}, later))[TABLES]
    assert check.verdict == "leak"
    assert "no union of whole parts gives them: single later events reached them" in check.found


def test_one_transition_of_a_test_pair_names_its_item(tmp_path: Path) -> None:
    wanted: Nested = {"model": {"name": "markov"}}
    folder = leaks.stored(tmp_path / "m", leaks.corpus(), wanted, leaks.fitted(whole(), wanted, leaks.corpus()))
    stored = leaks.arrays_of(folder)
    more = stored["values"].clone()
    more[100] += 1
    leaks.change_arrays(folder, "model.safetensors", {"values": more})
    item = int(torch.searchsorted(stored["offsets"], 100, right=True)) - 1
    check = found(folder)[TABLES]
    assert (
        f"not what train gives: values; for example values (1 of {len(more)} values, first for item 'i{item:02d}')"
        in check.found
    )


@pytest.mark.parametrize("array", ["log_share", "recall.centre", "recall.support", "recall.periods.trend.values"])
def test_one_table_of_all_events_in_a_trained_model(tmp_path: Path, array: str) -> None:
    folder = leaks.stored(tmp_path / "m", leaks.corpus(), SEGUE, leaks.fitted(whole(), SEGUE, leaks.corpus()))
    everything = leaks.fitted(with_test(), SEGUE, leaks.corpus()).arrays()[array]
    if everything.shape != leaks.arrays_of(folder)[array].shape:
        everything = leaks.arrays_of(folder)[array] * 1.001
    leaks.change_arrays(folder, "model.safetensors", {array: everything})
    check = found(folder)[TABLES]
    assert (check.verdict, check.numbers["differ"]) == ("leak", [array])
    assert f"for example {array} (" in check.found


@pytest.mark.parametrize("parts", LATER)
def test_a_history_that_holds_later_sessions(tmp_path: Path, parts: str) -> None:
    wanted: Nested = {"model": {"name": "popularity"}}
    model = leaks.fitted(whole(), wanted, leaks.corpus())
    later = whole().with_train(LATER[parts])
    checks = found(leaks.stored(tmp_path / "m", leaks.corpus(), wanted, model, history=later))
    name = parts.removeprefix("train + ")
    number = len(whole().select(Part[name.upper()]))
    assert checks["users' history"].verdict == "leak"
    assert f"it holds sessions after the cut: {number} of {name}" in checks["users' history"].found
    assert checks["model's record of origins"].verdict == "leak"
    assert checks[TABLES].verdict == "clean"


def test_another_vocabulary_and_another_attribute(tmp_path: Path) -> None:
    folder = shutil.copytree(small_logs.fitted_model(), tmp_path / "m")
    items = pq.read_table(folder / "items.parquet")
    pq.write_table(items.set_column(2, "c", pa.array(["x"] * len(items))), folder / "items.parquet")
    forgeries.rehash(folder)
    check = found(folder)["model's vocabulary"]
    assert (check.verdict, check.found) == ("leak", "items.parquet: column c differs from the corpus")


def test_answers_that_do_not_follow_from_the_model(tmp_path: Path) -> None:
    folder = shutil.copytree(small_logs.fitted_model(), tmp_path / "m")
    refined = load_model(folder).model.derived()["refined.item"].clone()
    refined[5] += 0.1
    leaks.change_arrays(folder, "answers.safetensors", {"refined.item": refined})
    check = found(folder)["tables for answers"]
    assert check.verdict == "leak"
    assert "refined.item (" in check.found
    assert f"first for item {load_model(folder).items.column('item_id')[5].as_py()!r}" in check.found


def test_code_that_reads_test_is_caught_by_markers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Popularity.fit

    def reads_everything(self: Popularity, corpus: Corpus) -> None:
        honest(self, corpus)
        self._popularity = torch.from_numpy(np.bincount(corpus.sessions.items, minlength=corpus.n_items) / 10_000)

    monkeypatch.setattr(Popularity, "fit", reads_everything)
    wanted: Nested = {"model": {"name": "popularity"}}
    model = leaks.fitted(whole(), wanted, leaks.corpus())
    checks = found(leaks.stored(tmp_path / "m", leaks.corpus(), wanted, model))
    assert checks[TABLES].verdict == "clean"  # a second fit by the same code leaks the same
    assert checks[MARKERS].verdict == "leak"
    assert checks[MARKERS].numbers["changed"] == ["model.safetensors"]


def test_training_that_reads_validation_is_caught_by_a_second_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = NARM.fit

    def reads_validation(self: NARM, corpus: Corpus) -> None:
        honest(self, corpus)
        self.seen = float(corpus.select(Part.VALIDATION).items.mean())

    monkeypatch.setattr(NARM, "fit", reads_validation)
    monkeypatch.setattr(NARM, "after_step", lambda self: next(self.parameters()).data.add_(1e-6 * self.seen))
    wanted: Nested = {"model": {"name": "narm", "dim": 4}, "training": SMALL_TRAINING}
    folder = runs.train(leaks.corpus(), tmp_path / "m", wanted)
    assert found(folder)[MARKERS].verdict == "clean"
    check = found(folder, retraining=True)["learned weights"]
    assert check.verdict == "leak"
    assert "markers in validation changed" in check.found


def test_weights_that_another_training_made_are_not_called_clean(tmp_path: Path) -> None:
    wanted: Nested = {"model": {"name": "narm", "dim": 4}, "training": SMALL_TRAINING}
    folder = runs.train(leaks.corpus(), tmp_path / "m", wanted)
    bias = leaks.arrays_of(folder)
    name = next(iter(bias))
    leaks.change_arrays(folder, "model.safetensors", {name: bias[name] * 1.01})
    check = found(folder, retraining=True)["learned weights"]
    assert (check.verdict, check.numbers["as_stored"]) == ("cannot", False)
    refitted = runs.train(leaks.corpus(), tmp_path / "r", wanted, Options(refit=True))
    assert "only test lies after its cut" in found(refitted, retraining=True)["learned weights"].found


def test_markers_leave_train_and_change_everything_later() -> None:
    corpus = whole()
    planted = marked(corpus, [Part.TEST])
    for part in (Part.TRAIN, Part.VALIDATION):
        before, after = corpus.select(part), planted.select(part)
        assert all(np.array_equal(getattr(before, name), getattr(after, name)) for name in ("items", "times", "user"))
    before, after = corpus.select(Part.TEST), planted.select(Part.TEST)
    assert (after.lengths == before.lengths + 1).all()
    assert len(np.unique(after.items)) == 1
    assert (after.times[after.offsets[:-1]] == before.times[before.offsets[:-1]] + 1).all()


def test_rounding_is_no_difference_and_a_count_is() -> None:
    base = {"a": torch.tensor([1.0, 1e6], dtype=torch.float64), "n": torch.tensor([1, 2])}
    assert differences({**base, "a": base["a"] * (1 + 1e-12)}, base, 5) == []
    assert [each.name for each in differences({**base, "n": torch.tensor([1, 3])}, base, 5)] == ["n"]
    assert [each.values for each in differences({**base, "n": torch.tensor([1])}, base, 5)] == [-1]
    assert [each.name for each in differences({"n": base["n"]}, base, 5)] == ["a"]
    assert not identical({"a": torch.tensor([0.0, 1.0])}, {"a": torch.tensor([-0.0, 1.0])})


def test_a_corpus_that_is_gone_or_another_is_refused(tmp_path: Path) -> None:
    counting = small_logs.counting_model("markov", "")
    with pytest.raises(ArtifactError, match=r"was not trained on the corpus .*; say where its own is with --corpus"):
        audit_model(counting, leaks.corpus())
    with pytest.raises(CorpusError, match=r"none is not a corpus"):
        audit_model(counting, tmp_path / "none")
    corpus = leaks.copy(leaks.corpus(), tmp_path / "c")
    folder = runs.train(corpus, tmp_path / "m", {"model": {"name": "markov"}})
    shutil.rmtree(corpus)
    with pytest.raises(ArtifactError, match=r"is no longer at .*; say where it is with --corpus"):
        audit_model(folder)


def test_a_model_whose_corpus_has_a_session_twice(tmp_path: Path) -> None:
    corpus = leaks.copy(leaks.corpus(), tmp_path / "c")
    folder = runs.train(corpus, tmp_path / "m", {"model": {"name": "markov"}})
    twice = leaks.rows_of(corpus, Part.TEST)[0]
    leaks.change_rows(corpus, Part.TRAIN, lambda rows: [*rows, twice])
    checks = found(folder)
    assert checks["sessions in two parts"].verdict == "leak"
    assert checks["model"].verdict == "cannot"
