"""A person leaves a model of every kind, and the others keep what they had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import forgettable
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from forgettable import OTHER, OWN, PERSON
from safetensors.torch import load_file

from segue.artifact.contents import contents_of, facts_in
from segue.artifact.model_folder import Artifact, load_model
from segue.audit.arrays import identical
from segue.audit.model import audit_model
from segue.audit.rebuild import counted, refit
from segue.data.corpus import Part, load
from segue.errors import LogError
from segue.forgetting.forget import How, forget
from segue.forgetting.result import Forgotten
from segue.lean import folder as lean
from segue.serving.recommender import Recommender
from segue.serving.through_torch import ThroughTorch

Made = Callable[[], Path]
KINDS: dict[str, Made] = {
    "hg_gnn/memory": lambda: forgettable.trained("hg_gnn", "memory"),
    "hg_gnn/segue": lambda: forgettable.trained("hg_gnn", "segue", ("dim", 8)),
    "hg_gnn/paper": forgettable.fitted,
    "hg_gnn with attributes": forgettable.with_attributes,
    "popularity": lambda: forgettable.trained("popularity", "recent"),
    "markov": lambda: forgettable.trained("markov"),
    "item_knn": lambda: forgettable.trained("item_knn"),
    "ease": lambda: forgettable.trained("ease"),
    "session_knn": lambda: forgettable.trained("session_knn", "v_sknn"),
    "gru4rec": lambda: forgettable.trained("gru4rec", "", ("dim", 8)),
    "gce_gnn": lambda: forgettable.trained("gce_gnn", "", ("dim", 8)),
    "hrnn": lambda: forgettable.trained("hrnn", "", ("dim", 8)),
    "a_pgnn": lambda: forgettable.trained("a_pgnn", "", ("dim", 8), ("dim_user", 8)),
    "reminder": lambda: forgettable.trained("reminder"),
}


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path, Forgotten]]:
    """The model of a kind, the one without the person, and what was said; made once."""
    made: dict[str, tuple[Path, Path, Forgotten]] = {}

    def of(kind: str) -> tuple[Path, Path, Forgotten]:
        if kind not in made:
            old, new = KINDS[kind](), tmp_path_factory.mktemp("forgot") / "model"
            made[kind] = old, new, forget(old, [PERSON], new)
        return made[kind]

    return of


Without = Callable[[str], tuple[Path, Path, Forgotten]]


def by_id(artifact: Artifact, axis: str) -> dict[str, int]:
    """Id → row of the items or the known users; the last row is everybody unknown."""
    table = artifact.items if axis == "item" else artifact.users.slice(0, artifact.model.n_users)
    rows = {each: row for row, each in enumerate(table.column(f"{axis}_id").to_pylist())}
    return rows if axis == "item" else {**rows, "": len(rows)}


@pytest.mark.parametrize("kind", KINDS)
def test_no_byte_names_the_person_and_no_other_is_missing(kind: str, without: Without) -> None:
    old, new, found = without(kind)
    assert (found.people, found.sessions, found.items) == (1, 18, 2)
    for path in [path for path in new.rglob("*") if path.is_file()]:
        data = path.read_bytes()
        assert not any(trace.encode() in data for trace in (PERSON, *OWN, "Nowhere", "Mx 03")), path
        if path.suffix == ".parquet":
            shown = str(pq.read_table(path).to_pydict())
            assert not any(trace in shown for trace in (PERSON, *OWN, "Nowhere", "Mx 03")), path
    users = pq.read_table(new / "users.parquet").column("user_id").to_pylist()
    assert users == [each for each in load_model(old).users.column("user_id").to_pylist() if each != PERSON]


@pytest.mark.parametrize("kind", KINDS)
def test_learned_rows_of_others_are_theirs_still_and_tables_are_those_of_a_log_without_the_person(
    kind: str, without: Without
) -> None:
    old, new = (load_model(folder) for folder in without(kind)[:2])
    rows, before, after = old.model.rows, old.model.arrays(), new.model.arrays()
    assert before.keys() == after.keys()
    for name in sorted(old.model.learned):
        axis = rows.get(name)
        if axis in ("item", "user"):
            places = by_id(old, axis), by_id(new, axis)
            assert places[0].keys() - places[1].keys() == ({PERSON} if axis == "user" else set(OWN))
            assert len(after[name]) == len(places[1])
            for each, row in places[1].items():
                assert torch.equal(after[name][row], before[name][places[0][each]]), (name, each)
        elif axis is None:
            assert torch.equal(before[name], after[name]), name
        else:
            assert len(after[name]) == len(before[name]) - 1, name
    assert [each for each in audit_model(without(kind)[1]).findings if each.verdict == "leak"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_others_are_answered_with_and_without_torch_and_the_person_is_a_stranger(kind: str, without: Without) -> None:
    _, new, _ = without(kind)
    answers = Recommender.load(new)
    assert len(answers.recommend(OTHER, ["first1"], k=5)) == 5
    assert not answers.recommend(PERSON, ["first1"], k=5).user_known
    assert answers.recommend("nobody", ["first1"], k=5).items == answers.recommend(PERSON, ["first1"], k=5).items
    contents, answering = lean.load(new)
    by_torch = Recommender(contents_of(new, facts_in(new)), ThroughTorch(load_model(new).model))
    assert [each.item for each in by_torch.recommend(OTHER, ["first1"], k=5)] == [
        each.item for each in answers.recommend(OTHER, ["first1"], k=5)
    ]
    assert (answering is not None) == (load_model(new).model.answering_form is not None)
    assert contents.history.user.max() < len(contents.users)


def test_the_corpus_lies_in_the_new_model_and_is_that_of_a_log_without_the_person(without: Without) -> None:
    for kind in ("markov", "hg_gnn/paper"):  # whose corpora lie beside and inside of the old ones
        _, new, _ = without(kind)
        assert facts_in(new)["corpus"] == "corpus"
        assert load(new / "corpus").fingerprint == load(forgettable.without()).fingerprint
        with pytest.raises(LogError, match="no log gives it; leave --log out"):
            audit_model(new, log=str(forgettable.log()))


@pytest.mark.parametrize("kind", ["hg_gnn/segue", "hg_gnn with attributes", "markov", "session_knn", "gce_gnn"])
def test_graph_and_counts_are_those_of_a_log_without_the_person(kind: str, without: Without) -> None:
    new = load_model(without(kind)[1])
    expected = refit(load(forgettable.without()).with_train([Part.TRAIN]), new.settings)
    assert counted(new.model)
    assert identical(counted(new.model), counted(expected))


def test_a_row_of_a_value_that_only_the_person_had_goes_too(without: Without) -> None:
    old, new = (load_model(folder).model.arrays() for folder in without("hg_gnn with attributes")[:2])
    for name in ("hgnn.embedding.item:kind", "hgnn.embedding.user:town"):
        kept = [row for row in old[name] if (new[name] == row).all(1).any()]
        assert len(kept) == len(new[name]) == len(old[name]) - 1


def test_test_is_measured_anew_and_records_of_the_training_are_left_out(without: Without) -> None:
    old, new, found = without("hg_gnn/paper")
    users = pq.read_table(new / "evaluation" / "test.ranks.parquet").column("user").to_pylist()
    assert len(users) < pq.read_metadata(old / "evaluation" / "test.ranks.parquet").num_rows
    assert set(users) == set(pq.read_table(new / "users.parquet").column("user_id").to_pylist())
    assert sorted(found.left_out) == ["metrics.jsonl", "report.html"]
    assert sorted(path.name for path in new.iterdir()) == sorted(
        path.name for path in old.iterdir() if path.name not in found.left_out
    )


def test_a_second_person_is_forgotten_from_what_was_left(tmp_path: Path, without: Without) -> None:
    _, new, _ = without("hrnn")
    forget(new, [OTHER], tmp_path / "m")
    both = forget(KINDS["hrnn"](), [OTHER, PERSON, OTHER], tmp_path / "both")
    assert both.people == 2
    assert facts_in(tmp_path / "m")["forgotten"] == facts_in(tmp_path / "both")["forgotten"] == {"people": 2}
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("m", "both"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(("refit", "final"), [(True, False), (False, True)])
def test_a_model_of_more_than_train_is_counted_from_the_same_parts(tmp_path: Path, refit: bool, final: bool) -> None:
    old = forgettable.fitted(refit=refit, final=final)
    found = forget(old, [PERSON], tmp_path / "m")
    trained_on = [part for part in Part if part != Part.TEST or final]
    new = load_model(tmp_path / "m")
    assert np.array_equal(new.history.items, load(tmp_path / "m" / "corpus").with_train(trained_on).train.items)
    assert ("evaluation/test.json" in found.left_out) == final
    assert (tmp_path / "m" / "evaluation").exists() != final


def test_trained_anew_nothing_that_was_learned_with_the_person_stays(tmp_path: Path) -> None:
    old = forgettable.fitted(refit=True, final=False)
    found = forget(old, [PERSON], tmp_path / "m", How(retrain=True))
    assert found.retrained
    assert not any("Weights" in sentence for sentence in found.stays)
    before, after = (load_model(folder).model.arrays() for folder in (old, tmp_path / "m"))
    learned = load_model(old).model.learned
    assert not any(
        torch.equal(before[name], after[name]) for name in learned if before[name].shape == after[name].shape
    )
    assert sorted(path.name for path in (tmp_path / "m").glob("*.jsonl")) == ["metrics.jsonl", "refit.jsonl"]
    assert [each for each in audit_model(tmp_path / "m").findings if each.verdict == "leak"] == []
