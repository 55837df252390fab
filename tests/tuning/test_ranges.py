"""What a search varies: the space of a preset, the paper's grid, and points in them."""

from __future__ import annotations

from typing import Any

import pytest
from search_spaces import SPACE

from segue import models
from segue.models.gru4rec import GRU4Rec
from segue.settings import Settings, compose
from segue.settings.overrides import dotted_keys, selected
from segue.settings.search_space import Between, Choice, Space
from segue.tuning.ranges import all_points, preset_point, searched, with_point


def ranges(kind: Any, name: str, preset: str | None = None, **sections: dict[str, Any]) -> tuple[Space, Settings]:
    """What a search of a preset varies, and the settings that its trials share."""
    overrides = {**sections, "model": {"name": name, "preset": preset, **sections.get("model", {})}}
    space, settings, _ = searched(kind, models.with_preset(overrides), dotted_keys(overrides))
    return space, settings


def test_the_paper_grid() -> None:
    space, shared = ranges("paper-grid", "hg_gnn")
    points = all_points(space, None, seed=0)
    assert points is not None
    assert len(points) == 5 * 4 * 4
    assert {point["model.dim"] for point in points} == {32, 64, 96, 128, 256}
    assert {point["training.learning_rate"] for point in points} == {1e-4, 1e-3, 1e-2, 1e-1}
    assert {point["model.layers"] for point in points} == {1, 2, 3, 4}
    assert (shared.training.batch_events, shared.training.optimizer) == (512, "adam")
    assert points != all_points(space, None, seed=1)
    assert ranges("paper-grid", "markov") == ({}, models.with_preset({"model": {"name": "markov"}}))


@pytest.mark.parametrize(
    ("name", "layers"), [("sr_gnn", "steps"), ("a_pgnn", "steps"), ("gce_gnn", "hops"), ("lessr", "layers")]
)
def test_the_papers_layers_are_searched_by_the_models_own_name_for_them(name: str, layers: str) -> None:
    space, _ = ranges("paper-grid", name, "paper_conditions")
    assert set(space) == {"model.dim", "training.learning_rate", f"model.{layers}"}
    assert space[f"model.{layers}"] == Choice((1, 2) if layers == "hops" else (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("preset", "keys"),
    [
        ("paper", ["model.dim", "training.learning_rate", "model.layers"]),
        ("no-users", ["model.dim", "training.learning_rate", "model.layers"]),
        ("authors-code", ["model.dim", "training.learning_rate"]),
        ("no-graph", ["model.dim", "training.learning_rate"]),
        ("memory", ["training.learning_rate"]),
    ],
)
def test_the_paper_grid_varies_what_a_preset_can_use(preset: str, keys: list[str]) -> None:
    assert list(ranges("paper-grid", "hg_gnn", preset)[0]) == keys


def test_the_paper_grid_keeps_what_only_it_varies(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model's own space may have no layers, and neither then has that of a preset."""
    monkeypatch.setattr(GRU4Rec, "spaces", {"official": SPACE})
    assert "model.layers" in ranges("paper-grid", "gru4rec", "official")[0]


def test_what_the_user_sets_is_not_searched() -> None:
    space, _ = ranges("tpe", "gru4rec", model={"dim": 8}, training={"learning_rate": 0.1})
    assert list(space) == ["model.dropout_embed"]
    assert list(ranges("tpe", "popularity")[0]) == ["model.session_weight"], "nothing is learned at a rate"


@pytest.mark.parametrize(
    ("name", "preset"), [(name, preset) for name in models.names() for preset in models.load(name).presets]
)
@pytest.mark.parametrize("kind", ["tpe", "paper-grid"])
def test_every_value_that_is_searched_is_a_valid_setting(name: str, preset: str, kind: Any) -> None:
    """The ends of every range and every choice, one at a time, beside the rest of the preset."""
    space, shared = ranges(kind, name, preset)
    for key, values in space.items():
        for value in values.values if isinstance(values, Choice) else (values.low, values.high):
            settings = with_point(shared, {key: value})
            models.build(settings)
            assert preset_point(settings, {key: values}) == {key: value}


def test_a_point_inside_a_table_leaves_the_rest_of_it_alone() -> None:
    """The reminder's own weights differ from those that its table would have by itself."""
    before = models.with_preset({"model": {"name": "reminder", "inner": {"name": "gru4rec"}}})
    point = {"model.remind.sessions": 9, "model.remind.recency": 0.5}
    found = with_point(before, point)
    config = models.load("reminder").Config
    assert config.parse(found.model.options).model_dump()["remind"] == {
        **config.parse(before.model.options).model_dump()["remind"],
        "sessions": 9,
        "recency": 0.5,
    }
    space = {key: Between(0.0, 10.0) for key in point}
    assert preset_point(found, space) == point
    left, _ = ranges("tpe", "reminder", model={"remind": {"sessions": 2}})
    assert "model.remind.sessions" not in left
    assert "model.remind.recency" in left


def test_points_and_presets_by_hand() -> None:
    assert all_points({"a.x": Between(1, 3), "a.y": Choice(("u",))}, 3, 0) is not None
    assert all_points({"a.x": Between(1, 4)}, 3, 0) is None
    assert all_points({"a.x": Between(0.0, 1.0)}, 3, 0) is None
    settings = compose({"model": {"name": "gru4rec", "layers": 2}})
    ranges = {"model.layers": Between(1, 3), "model.dim": Choice((1,)), "training.weight_decay": Between(0.0, 1.0)}
    assert preset_point(settings, ranges) == {"model.layers": 2, "training.weight_decay": 1e-5}
    found = with_point(settings, {"model.dim": 2, "graph.sample_size": 3})
    assert selected(found, {"model.dim", "graph.sample_size", "model.layers"}) == {
        "graph": {"sample_size": 3},
        "model": {"layers": 2, "dim": 2},
    }


def test_a_preset_stays_what_it_is() -> None:
    assert ranges("tpe", "popularity", "personal")[0] == {}
    assert list(ranges("tpe", "popularity", "mixed")[0]) == ["model.session_weight"]
    varied = {preset: set(ranges("tpe", "session_knn", preset)[0]) for preset in ("v_sknn", "stan", "vstan")}
    assert not varied["v_sknn"] & {"model.snh", "model.inh", "model.cosine"}
    assert varied["vstan"] - varied["stan"] == {"model.match_weighting", "model.ipw", "model.idf"}
    for name in models.names():
        model = models.load(name)
        assert set(model.spaces) <= set(model.presets)
