"""Reminders around a trained model: what is added, what is trained, and what goes around what."""

from __future__ import annotations

from pathlib import Path

import pytest
import runs
import small_logs
import torch
import worlds

from segue import models
from segue.contract.encoder import SessionEncoder
from segue.data.corpus import Corpus
from segue.errors import ConfigError
from segue.models.reminder import ReminderConfig
from segue.nn.reminders import reminders
from segue.serving.recommender import Recommender
from segue.settings import Nested

INNER = {"name": "gru4rec", "dim": 16}


def asking(**options: object) -> Nested:
    return {"model": {"name": "reminder", "preset": "gru4rec_r", "inner": INNER, **options}}


def test_reminders_join_the_probability_over_the_largest() -> None:
    corpus = worlds.busy()
    weights = {"sessions": 2, "base": 3.0, "recency": 0.5, "similarity": 2.0}
    model = worlds.fitted(asking(remind=weights), corpus)
    alone = worlds.fitted({"model": INNER}, corpus)
    alone.restore(model.arrays(), corpus.n_items, corpus.n_users)
    assert isinstance(alone, SessionEncoder)
    alone.eval()
    model.eval()  # type: ignore[attr-defined]
    batch = worlds.events_of(model, corpus)
    share = torch.softmax(worlds.scores_of(alone, batch).double(), 1)
    wanted = 3.0 * share / share.amax(1, keepdim=True)
    for event, item, recency, similarity in zip(*reminders(batch, 1000, 2, corpus.n_items), strict=True):
        wanted[event, item] += 0.5 * recency + 2.0 * similarity
    torch.testing.assert_close(worlds.scores_of(model, batch), wanted)


def test_without_a_history_the_order_is_that_of_the_model_inside() -> None:
    corpus = worlds.busy()
    model = worlds.fitted(asking(), corpus)
    model.eval()  # type: ignore[attr-defined]
    request = worlds.request_of(model, [1, 2], user=corpus.n_users)
    inner = worlds.scores_of(model.inner, request)  # type: ignore[attr-defined]
    assert worlds.scores_of(model, request).argsort().equal(inner.argsort())


def test_it_is_trained_as_the_model_inside_is() -> None:
    """Same settings, same seed, same steps: the same parameters."""
    corpus = worlds.busy()
    wrapped, alone = worlds.fitted(asking(), corpus), worlds.fitted({"model": INNER}, corpus)
    for model in (wrapped, alone):
        torch.manual_seed(1)
        worlds.train(model, corpus, epochs=1)
    arrays = alone.arrays()
    assert all(array.equal(arrays[name]) for name, array in wrapped.arrays().items())


def test_the_preset_of_the_model_inside_sets_the_training() -> None:
    for name in ("gru4rec", "narm"):
        for preset in models.load(name).presets:
            inner = {"name": name, "preset": preset}
            alone = models.with_preset({"model": inner})
            assert models.with_preset(asking(inner=inner)).training == alone.training
    given = models.with_preset({**asking(), "training": {"learning_rate": 0.5}})
    assert given.training.learning_rate == 0.5


def test_it_needs_a_history_besides_what_the_model_inside_needs() -> None:
    model = models.build(models.with_preset(asking()))
    assert model.needs == {"history"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"inner": {"name": "markov"}, "window": {"length": 1}}, r"'model\.inner\.name'.*'markov' only counts"),
        ({"inner": {"name": "gru5rec"}}, "unknown model 'gru5rec': did you mean 'gru4rec'"),
        ({"inner": {"name": "gru4rec", "dims": 8}}, r"unknown setting 'model\.inner\.dims': did you mean 'dim'"),
        ({"inner": {"name": "gru4rec", "dim": 0}}, r"setting 'model\.inner\.dim': .*, found 0"),
        (
            {"inner": {"name": "gru4rec", "window": {"length": 0}}},
            r"setting 'model\.inner\.window\.length': .*, found 0",
        ),
        ({"inner": {"name": 5}}, r"setting 'model\.inner\.name': .*, found 5"),
        ({"inner": {"name": "reminder"}}, r"setting 'model\.inner': reminders cannot go around reminders"),
        ({"window": {"length": 7, "history": 9}}, r"'model\.window\.length'.*last 20 items, found 7"),
    ],
)
def test_a_mistake_is_one_clear_line(options: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        models.build(models.with_preset(asking(**options)))
    assert "\n" not in str(caught.value)


def test_the_model_inside_has_a_name() -> None:
    with pytest.raises(ConfigError, match=r"'model\.inner': name the inner model"):
        ReminderConfig.parse({"inner": {"dim": 8}}, "model")


@pytest.mark.parametrize(
    ("preset", "inner", "label"),
    [
        ("gru4rec_r", {}, "reminder/gru4rec_r"),
        ("narm_r", {"dim": 8}, "reminder/narm_r"),
        ("gru4rec_r", {"preset": "full_softmax"}, "reminder/gru4rec_r"),
        ("gru4rec_r", {"preset": "official"}, "reminder/gru4rec/official"),
        ("gru4rec_r", {"name": "lessr"}, "reminder/lessr/official"),
    ],
)
def test_its_label_tells_what_is_inside(preset: str, inner: dict[str, object], label: str) -> None:
    settings = models.with_preset({"model": {"name": "reminder", "preset": preset, "inner": inner}})
    assert models.label(settings) == label


def test_options_of_the_model_inside_go_over_its_preset() -> None:
    settings = models.with_preset({"model": {"name": "reminder", "preset": "gru4rec_r", "inner": {"dim": 8}}})
    inner = models.build(settings).inner  # type: ignore[attr-defined]
    assert (type(inner).__name__, inner.config.dim) == ("GRU4Rec", 8)


def test_trained_stored_and_asked(tmp_path: Path) -> None:
    settings = {**small_logs.with_settings(training={"max_epochs": 1}), **asking()}
    runs.train(small_logs.corpus(), tmp_path / "m", settings)
    recommender = Recommender.load(tmp_path / "m")
    user, item = recommender.artifact.users["user_id"][0].as_py(), recommender.artifact.items["item_id"][0].as_py()
    for answer in (recommender.recommend(user, [item], k=3), recommender.recommend(None, [item], k=3)):
        assert len(answer) == 3
        first = answer[0]
        assert first.because["user"] + first.because["base"] == pytest.approx(first.score)


INNERS = [("lessr", {}), ("hrnn", {}), ("gce_gnn", {}), ("hg_gnn", {}), ("gru4rec", {"bptt": "one_step"})]


def around(name: str, options: dict[str, object]) -> tuple[SessionEncoder, SessionEncoder, Corpus]:
    """A reminder and the model that is inside it, both fitted from the same seed."""
    corpus = worlds.busy()
    inner = {"name": name, "dim": 16, **options}
    if "dim" not in models.load(name).Config.model_fields:
        del inner["dim"]
    alone = worlds.fitted({"model": inner}, corpus)
    window = {"length": alone.config.window.length, "history": 1000}
    wrapped = worlds.fitted(
        {"model": {"name": "reminder", "preset": "gru4rec_r", "inner": inner, "window": window}}, corpus
    )
    assert isinstance(alone, SessionEncoder)
    assert isinstance(wrapped, SessionEncoder)
    return wrapped, alone, corpus


@pytest.mark.parametrize(("name", "options"), INNERS)
def test_whatever_is_inside_is_trained_as_it_would_be_alone(name: str, options: dict[str, object]) -> None:
    wrapped, alone, corpus = around(name, options)
    for model in (wrapped, alone):
        torch.manual_seed(1)
        worlds.train(model, corpus, epochs=1, lr=0.5)
    found, wanted = wrapped.arrays(), alone.arrays()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    assert wrapped.order == alone.order
    options_of = [{k: v for k, v in g.items() if k != "params"} for g in wrapped.parameter_groups()]
    assert options_of == [{k: v for k, v in g.items() if k != "params"} for g in alone.parameter_groups()]
    assert wrapped.needs == alone.needs | {"history"}
    assert wrapped.statistics() == alone.statistics()


def test_snapshots_and_relations_are_those_of_the_model_inside() -> None:
    wrapped, alone, corpus = around("hg_gnn", {})
    wrapped.eval()
    batch = worlds.events_of(wrapped, corpus)
    with torch.no_grad():
        wrapped.snapshot()
        before = wrapped.scores(batch)
        for parameter in wrapped.inner.hgnn.layers.parameters():  # type: ignore[union-attr]
            parameter.zero_()
        torch.testing.assert_close(wrapped.scores(batch), before)  # what was computed once is kept
        wrapped.forget_snapshot()
        assert not torch.allclose(wrapped.scores(batch), before)
    pairs = [(source, item) for source in range(corpus.n_items) for item in range(corpus.n_items)]
    found = [wrapped.relation(*pair) for pair in pairs]
    assert any(found)
    assert found == [alone.relation(*pair) for pair in pairs]
