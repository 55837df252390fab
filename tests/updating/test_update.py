"""The command: a promoted model begins at yesterday's weights, a worse one is not written, and MODEL is only read."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import growing
import pytest
import runs
import torch
from mistakes import contents
from small_logs import write_csv

import segue
from segue.artifact.model_folder import load_model
from segue.artifact.seal import seal
from segue.cli import app as cli
from segue.contract.encoder import SessionEncoder
from segue.contract.model import SessionModel
from segue.data.corpus import Corpus, Part, load
from segue.settings import Nested, Settings
from segue.settings.units import DAY
from segue.system.exit_codes import Exit
from segue.training.trainer import Trainer
from segue.training.validation import Validated
from segue.updating import comparison
from segue.updating import update as updating
from segue.updating.comparison import compare
from segue.updating.growth import grow
from segue.updating.source import Source
from segue.updating.warm import Warm

Ran = tuple[int, str, str]
TRAINED = [
    ("hg_gnn", "segue"), ("hg_gnn", "memory"), ("hg_gnn", "paper"), ("gru4rec", ""), ("narm", ""), ("sr_gnn", ""),
    ("lessr", ""), ("gce_gnn", ""), ("hrnn", ""), ("a_pgnn", ""), ("sasrec", ""),
]  # fmt: skip
COUNTED = ["markov", "popularity", "session_knn", "ease"]


def log() -> Path:
    return growing.logs()[1]


def model(name: str = "sasrec", preset: str = "") -> Path:
    more = () if name in COUNTED or preset == "memory" else (("dim", 8),)
    return growing.trained(name, preset, *more)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def update(*arguments: object) -> Ran:
        code = cli.run(["update", *map(str, arguments)])
        return code, *capsys.readouterr()

    return update


@pytest.mark.parametrize(("name", "preset"), [*TRAINED, *((name, "") for name in COUNTED)])
def test_every_model_grows_and_answers(name: str, preset: str, run: Callable[..., Ran], tmp_path: Path) -> None:
    old = model(name, preset)
    before = contents(old)
    code, out, err = run(old, "--log", log(), "--out", tmp_path / "m", "--epochs", 1, "--json")
    assert code == 0, err
    assert contents(old) == before
    found = json.loads(out)
    assert (found["format"], found["verdict"]) == ("segue-update-1", "promoted")
    assert name not in COUNTED or found["learned_sessions"] == 0
    grown = segue.load(tmp_path / "m")
    assert len(grown.recommend("newcomer", ["first0"], k=5)) == 5
    facts = load_model(tmp_path / "m").facts
    assert facts["lineage"][-1]["compared"]["users"] == found["compared"]["users"]
    assert cli.run(["audit", str(tmp_path / "m")]) == 0


@pytest.mark.parametrize(("name", "preset"), TRAINED)
def test_weights_begin_at_those_of_the_day_before(name: str, preset: str, tmp_path: Path) -> None:
    """Each learned array, row by row; rows of what is new are as they were drawn."""
    old = load_model(model(name, preset))
    cli.run(["update", str(model(name, preset)), "--log", str(log()), "--out", str(tmp_path / "m"), "--epochs", "1"])
    corpus = load(tmp_path / "m" / "corpus").with_train(list(Part))
    fresh = segue.models.build(old.settings)
    fresh.fit(corpus)
    assert isinstance(fresh, SessionEncoder)
    drawn = {key: value.clone() for key, value in fresh.arrays().items()}
    Warm(old, 0.2, 0).begin(fresh, corpus)
    now, rows = fresh.arrays(), old.model.rows
    parameters = {name for name, _ in fresh.named_parameters()}
    for key, value in old.model.arrays().items():
        if key not in old.model.learned or (rows.get(key) == "user" and key not in parameters):
            continue  # states of users are worked out anew from their sessions
        if rows.get(key) == "item":
            assert torch.equal(now[key][: len(value)], value)
            assert torch.equal(now[key][len(value) :], drawn[key][len(value) :])
        elif rows.get(key) == "user":
            assert torch.equal(now[key][: len(value) - 1], value[:-1])
            assert torch.equal(now[key][-1], value[-1])
        else:
            assert torch.equal(now[key], value)
    assert any(rows.get(key) == "item" for key in old.model.learned) == (preset != "memory")


def test_vectors_of_attributes_go_with_their_values(run: Callable[..., Ran], tmp_path: Path) -> None:
    """Values are numbered in their order, so one that comes before the others moves them all."""
    ids = load(growing.corpus()).item_ids
    write_csv(tmp_path / "kinds.csv", [(item, f"kind {item[0]}") for item in ids], ("item_id", "kind"))
    write_csv(tmp_path / "more.csv", [("latest", "a kind")], ("item_id", "kind"))
    runs.prepare(str(growing.logs()[0]), tmp_path / "corpus", growing.SETTINGS, items=tmp_path / "kinds.csv")
    chosen: Nested = {"name": "hg_gnn", "preset": "paper", "dim": 8}
    attributes: Nested = {**growing.SETTINGS, "model": chosen, "graph": {"attributes": ["item.kind"]}}
    old = load_model(runs.train(tmp_path / "corpus", tmp_path / "old", attributes))
    more = ("--items", tmp_path / "more.csv", "--epochs", 1)
    assert run(old.folder, "--log", log(), "--out", tmp_path / "m", *more)[0] == 0
    corpus = load(tmp_path / "m" / "corpus").with_train(list(Part))
    fresh = segue.models.build(old.settings)
    fresh.fit(corpus)
    Warm(old, 0.2, 0).begin(fresh, corpus)
    (name,) = [name for name, axis in old.model.rows.items() if axis == "item:kind" and name in old.model.learned]
    before, now = old.model.arrays()[name], fresh.arrays()[name]
    assert len(now) == len(before) + 1
    assert torch.equal(now[1:], before)


def test_what_is_learned_is_new_or_drawn(tmp_path: Path) -> None:
    cli.run(["update", str(model()), "--log", str(log()), "--out", str(tmp_path / "m"), "--epochs", "1"])
    corpus, old = load(tmp_path / "m" / "corpus").with_train(list(Part)), load_model(model())
    none, some, everything = (Warm(old, share, 0).learned(corpus) for share in (0.0, 0.3, 1.0))
    assert len(everything) == len(corpus.train)
    ended = none.times[none.offsets[1:] - 1]
    assert len(none) == (corpus.train.times[corpus.train.offsets[1:] - 1] > old.history.times.max()).sum()
    assert (ended > old.history.times.max()).all()
    assert len(none) < len(some) < len(everything)


def test_news_of_the_day_count_for_the_candidate(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A log of one day whose items came that morning and that noon: they are among what is compared on, and known."""
    rows = [
        (f"user{visit % 36:02d}", item, f"2024-01-15T{visit // 3:02d}:{15 * (visit % 3):02d}:0{place}Z")
        for visit in range(72)
        for place, item in enumerate(("first0", "of this morning" if visit < 36 else "of this noon"))
    ]
    day = growing.written(tmp_path / "day.csv", rows)
    code, out, _ = run(model("markov"), "--log", day, "--out", tmp_path / "m", "--json")
    found = json.loads(out)
    compared = found["compared"]
    assert (code, found["verdict"]) == (0, "promoted")
    assert compared["since"] == datetime(2024, 1, 15, 16, tzinfo=UTC).timestamp() * 1000 + 1000
    assert compared["unknown_targets"] == compared["events"] == 24
    assert (compared["before"]["HR@10"], compared["after"]["HR@10"]) == (0, 1)
    code, _, err = run(model("markov"), "--log", day, "--out", tmp_path / "n", "--newest", "1d")
    assert (code, "0 users have sessions that can be compared" in err) == (Exit.MISTAKE, True)


def test_both_are_measured_on_the_same_events(tmp_path: Path) -> None:
    """The same model twice: no difference, whatever it does not know; and its ranks are those of an evaluation."""
    (tmp_path / "scratch").mkdir()
    source, folder = Source(str(log())), tmp_path / "corpus"
    grow(load(growing.corpus()), growing.corpus(), source, tmp_path / "scratch", apart=folder)
    corpus, old = load(folder), load_model(model())
    own = corpus.with_train([Part.TRAIN, Part.VALIDATION])
    grown = segue.models.build(old.settings)
    grown.fit(own)
    Warm(old, 0.2, 0).begin(grown, own)
    grown.eval()  # type: ignore[attr-defined]
    found, after = compare(old, grown, corpus, "grown")
    assert found.unknown_targets == (after.events.target == corpus.n_items - 1).sum() > 0
    aligned, alone = comparison.ranks_of(old.model, own, mask_session=after.masked, history=after.history)
    assert (comparison.ranks_of(grown, own, mask_session=after.masked, history=after.history)[0] == after.rank).all()
    both = aligned <= corpus.n_items
    assert both.sum() == len(alone.rank) < len(after.rank)
    both &= after.events.user != corpus.user_ids.index("newcomer")  # whose sessions hold the new item, for one of them
    # One more item can only come before a target; nothing else tells the two models apart.
    assert (after.rank[both] - aligned[both] >= 0).all()
    assert (after.rank[both] - aligned[both] <= 1).all()
    assert (after.events.target[~both] >= old.model.n_items).sum() == found.unknown_targets


def test_sessions_that_had_begun_are_not_compared_on(tmp_path: Path) -> None:
    """One is cut by the end of the first log and goes on in the second: the old model knows how it began."""
    (tmp_path / "scratch").mkdir()
    source, folder = Source(str(log()), newest=400 * DAY), tmp_path / "corpus"
    grow(load(growing.corpus()), growing.corpus(), source, tmp_path / "scratch", apart=folder)
    corpus = load(folder)
    old = load_model(model("markov"))
    everything = load(growing.corpus()).with_train(list(Part))
    old = dataclasses.replace(old, history=everything.train)
    grown = segue.models.build(old.settings)
    grown.fit(corpus.with_train([Part.TRAIN, Part.VALIDATION]))
    test = corpus.select(Part.TEST)
    fresh = test.times[test.offsets[:-1]] > old.history.times.max()
    assert 0 < fresh.sum() < len(test)
    found, _ = compare(old, grown, corpus, "grown")
    assert found.events == (test.lengths[fresh] - 1).sum()


def test_one_that_is_worse_is_not_written(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A candidate that has learned nothing at all."""

    def untrained(name: str, corpus: Corpus, folder: Path, settings: Settings, *_: object) -> SessionModel:
        assert name == "refit"  # a model that is worse is not trained on everything
        candidate = segue.models.build(settings)
        candidate.fit(corpus)
        return candidate

    monkeypatch.setattr(updating, "played", untrained)
    before = contents(tmp_path)
    code, out, err = run(model(), "--log", log(), "--out", tmp_path / "m", "--epochs", 1)
    assert code == Exit.UNCHANGED
    assert contents(tmp_path) == before
    assert err.splitlines()[-1].startswith("segue: the new model is worse: HR@10 ")
    assert out.splitlines()[-3].startswith("read ")


STAYED = "no pass over the sessions was clearly better than the weights of before, which stay"


@pytest.mark.parametrize(
    ("name", "preset", "said"),
    [
        ("sasrec", "", f"{STAYED}, and the vectors of new items (1) are random; HR@10 "),
        ("hg_gnn", "segue", "only counts are new; HR@10 "),
    ],
)
def test_weights_stay_where_no_pass_is_better(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, preset: str, said: str
) -> None:
    """The output says that nothing was learned, and what is new nevertheless: counts where there are any."""
    monkeypatch.setattr(Trainer, "_keep_best", _only_the_beginning)
    code, out, _ = run(model(name, preset), "--log", log(), "--out", tmp_path / "m")
    assert code == 0
    assert said in out
    old, new = load_model(model(name, preset)).model, load_model(tmp_path / "m").model
    assert isinstance(old, SessionEncoder)
    for array in old.learned:
        before, after = old.arrays()[array], new.arrays()[array]
        if old.rows.get(array) != "user":
            assert torch.equal(after[: len(before)], before)


def _only_the_beginning(self: Trainer, measured: Validated, epoch: int | None = None) -> bool:
    if epoch == 0:
        self.best_weights = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
    return False


def test_worse_is_an_interval_that_lies_below_zero() -> None:
    def worse(low: float, high: float) -> bool:
        return comparison.Compared(0, 10, 8, 0, {}, {}, (low + high) / 2, (low, high)).worse

    assert worse(-0.3, -0.1)
    assert not worse(-0.3, 0.01)
    assert not worse(-0.01, 0.0)


def test_the_same_log_twice_leaves_everything_as_it_is(run: Callable[..., Ran], tmp_path: Path) -> None:
    assert run(model(), "--log", log(), "--out", tmp_path / "m", "--epochs", 1)[0] == 0
    before = contents(tmp_path)
    code, out, err = run(tmp_path / "m", "--log", log(), "--out", tmp_path / "m", "--overwrite", "--json")
    assert (code, json.loads(out)["verdict"]) == (Exit.UNCHANGED, "nothing new")
    assert "nothing that the model does not have" in err
    assert contents(tmp_path) == before


def test_a_model_may_take_its_own_place(run: Callable[..., Ran], tmp_path: Path) -> None:
    shutil.copytree(model(), tmp_path / "m")
    code, _, err = run(tmp_path / "m", "--log", log(), "--out", tmp_path / "m")
    assert (code, "or pass --overwrite to replace it" in err) == (Exit.MISTAKE, True)
    code, _, err = run(
        tmp_path / "m", "--log", log(), "--out", tmp_path / "m", "--overwrite", "--epochs", 1, "--corpus",
        growing.corpus(),
    )  # fmt: skip
    assert code == 0, err
    assert "newcomer" in load_model(tmp_path / "m").users.column("user_id").to_pylist()
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.endswith("-lock")) == ["m"]


def test_nothing_is_written_into_what_is_only_read(run: Callable[..., Ran], tmp_path: Path) -> None:
    shutil.copytree(model("markov"), tmp_path / "m")
    shutil.copytree(growing.corpus(), tmp_path / "corpus")
    before = contents(tmp_path)
    for out in ("m/next", "m/next/next", "corpus/next"):
        code, _, err = run(
            tmp_path / "m", "--log", log(), "--out", tmp_path / out, "--corpus", tmp_path / "corpus", "--overwrite"
        )
        assert (code, "which is only read; choose another --out" in err) == (Exit.MISTAKE, True)
    assert contents(tmp_path) == before


def test_mistakes_are_one_line_and_nothing_is_written(run: Callable[..., Ran], tmp_path: Path) -> None:
    def refused(*arguments: object) -> str:
        before = contents(tmp_path)
        code, out, err = run(*arguments, "--out", tmp_path / "m")
        assert (code, out) == (Exit.MISTAKE, "")
        assert contents(tmp_path) == before
        return err.splitlines()[-1]

    assert "none.csv" in refused(model(), "--log", tmp_path / "none.csv")
    assert "none" in refused(tmp_path / "none", "--log", log())
    assert "--newest: " in refused(model(), "--log", log(), "--newest", "1 fortnight")
    few = [("user00", item, f"2024-02-01T09:0{minute}:00Z") for minute, item in enumerate(("a0", "a1"))]
    growing.written(tmp_path / "few.csv", few)
    assert "a verdict needs 6; give the log of more days" in refused(model(), "--log", tmp_path / "few.csv")
    runs.prepare(str(growing.logs()[2]), tmp_path / "corpus", growing.SETTINGS)
    other = refused(model(), "--log", log(), "--corpus", tmp_path / "corpus")
    assert f"was not trained on the corpus {tmp_path / 'corpus'}; say where its own is with --corpus" in other
    (tmp_path / "other.csv").write_text("who,what,when\nu,i,1\n")
    assert "segue: " in refused(model(), "--log", tmp_path / "other.csv")


def test_settings_of_this_machine_can_be_said_and_others_stay_the_models(
    run: Callable[..., Ran], tmp_path: Path
) -> None:
    elsewhere = runs.train(growing.corpus(), tmp_path / "elsewhere", {**growing.SETTINGS, "model": {"name": "gru4rec"}})
    config = json.loads((elsewhere / "config.json").read_text())
    config["settings"]["training"]["device"] = "cuda:7"
    (elsewhere / "config.json").write_text(json.dumps(config))
    seal(elsewhere)
    asked = (elsewhere, "--log", log(), "--out", tmp_path / "m", "--epochs", 1)
    code, out, err = run(*asked)
    assert (code, out) == (Exit.MISTAKE, "")
    assert "setting 'training.device': no device 'cuda:7' here" in err
    code, out, err = run(*asked, "--set", "training.seed=4")
    assert (code, "setting 'training.seed' belongs to the model, which keeps its own" in err) == (Exit.MISTAKE, True)
    here = ("--set", "training.device=cpu", "--set", "preparation.memory_limit=1GiB", "--set", "training.threads=1")
    assert run(*asked, *here)[0] == 0
    assert load_model(tmp_path / "m").settings.training.device == "cuda:7", "the model's own settings stay"
    code, _, err = run(*asked, *here[:2], "--overwrite", "--set", "preparation.memory_limit=1MiB")
    assert (code, "raise preparation.memory_limit" in err) == (Exit.MISTAKE, True), err


def test_too_little_memory_advises_what_an_update_can_do(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A petabyte; an update takes none of the settings that would make its model smaller."""
    monkeypatch.setattr(Trainer, "_step", lambda *_: torch.empty(2**50, dtype=torch.uint8))
    code, _, err = run(model(), "--log", log(), "--out", tmp_path / "m")
    assert code == Exit.MISTAKE
    assert "give it more memory, or train a smaller model anew" in err
    assert "model.dim" not in err


def test_models_that_grow_day_by_day_stay_readable(
    run: Callable[..., Ran], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two updates, one after the other, are measured, audited, and know what came with each."""
    _, rows = growing.parts()
    days = sorted({row[2][:10] for row in rows})[-2:]
    one = growing.written(tmp_path / "one.csv", [row for row in rows if row[2][:10] < days[1]])
    late = [(user, "last of all" if item == "latest" else item, at) for user, item, at in rows if at[:10] == days[1]]
    two = growing.written(tmp_path / "two.csv", late)
    assert run(model("markov"), "--log", one, "--out", tmp_path / "m1", "--newest", "1d")[0] == 0
    assert run(tmp_path / "m1", "--log", two, "--out", tmp_path / "m2")[0] == 0
    corpus = load(tmp_path / "m2" / "corpus")
    assert corpus.manifest["settings"]["split"]["protocol"] == "global_time"
    facts = load_model(tmp_path / "m2").facts
    for lineage in (corpus.manifest["lineage"], facts["lineage"]):
        assert [step["read"]["items"] for step in lineage] == [1, 1]
    assert cli.run(["evaluate", str(tmp_path / "m2")]) == Exit.MISTAKE
    assert "grown by segue update, so the days to come are its test" in capsys.readouterr().err
    assert cli.run(["replay", str(tmp_path / "m2")]) == Exit.MISTAKE
    assert "the days to come are its test; replay their log" in capsys.readouterr().err
    assert corpus.sessions.times.max() - load(tmp_path / "m1" / "corpus").sessions.times.max() <= 2 * DAY
    assert cli.run(["audit", str(tmp_path / "m2")]) == 0


def test_that_people_were_forgotten_is_still_said(
    run: Callable[..., Ran], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """An update, a person who leaves, an update: the last model and its corpus say that one has left."""
    assert cli.run(["forget", str(model("markov")), "--user", "user05", "--out", str(tmp_path / "without")]) == 0
    assert run(tmp_path / "without", "--log", log(), "--out", tmp_path / "m")[0] == 0
    assert caplog.text.count("the corpus has forgotten 1 person; an event of theirs in this log is learned") == 1
    grown = load_model(tmp_path / "m")
    assert grown.facts["forgotten"] == load(tmp_path / "m" / "corpus").manifest["forgotten"] == {"people": 1}
    assert cli.run(["forget", str(tmp_path / "m"), "--user", "user06", "--out", str(tmp_path / "both")]) == 0
    assert load_model(tmp_path / "both").facts["forgotten"] == {"people": 2}
