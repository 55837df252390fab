"""The folder is the list of models, and whose word counts: defaults, preset, user."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue import models
from segue.contract.model import SessionModel
from segue.errors import ConfigError

PAPER_MAP = (Path(__file__).parents[2] / "docs" / "paper-map.md").read_text(encoding="utf-8")


def test_the_folder_is_the_list() -> None:
    assert {"gru4rec", "item_knn", "markov", "popularity"} <= set(models.names())
    for name in models.names():
        assert issubclass(models.load(name), SessionModel)
        assert models.load(name).presets, f"{name} has no preset"


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="unknown model 'markow': did you mean 'markov'"):
        models.load("markow")


def test_an_unknown_preset_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="unknown preset 'globl' of model 'popularity': did you mean 'global'"):
        models.with_preset({"model": {"name": "popularity", "preset": "globl"}})


def test_an_unknown_option_of_a_model_is_refused_before_any_work() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'model\.n_sim': did you mean 'n_sims'"):
        models.with_preset({"model": {"name": "item_knn", "n_sim": 5}})


def test_the_users_word_goes_over_the_preset_and_that_over_the_defaults() -> None:
    settings = models.with_preset({"model": {"name": "item_knn", "preset": "public", "lam": 3.0}})
    model = models.build(settings)
    assert settings.model.preset == "public"
    assert model.config.model_dump(include={"lam", "mode", "n_sims"}) == {"lam": 3.0, "mode": "last", "n_sims": 100}
    assert models.with_preset({"model": {"name": "item_knn"}}).model.preset == "session"


@pytest.mark.parametrize("name", ["a_pgnn", "hrnn", "reminder"])
def test_a_model_of_the_users_history_has_one_to_look_at(name: str) -> None:
    with pytest.raises(ConfigError, match=r"setting 'model\.window\.history': .* 1, found 0"):
        models.with_preset({"model": {"name": name, "window": {"history": 0}}})
    assert models.with_preset({"model": {"name": name, "window": {"history": 1}}})


@pytest.mark.parametrize("name", ["gru4rec", "hrnn"])
def test_a_batch_draws_no_more_than_a_step_can_score(name: str) -> None:
    with pytest.raises(ConfigError, match=r"setting 'model\.n_sample': .* 100000, found 100001"):
        models.with_preset({"model": {"name": name, "n_sample": 100_001}})


@pytest.mark.parametrize(
    ("name", "preset", "ours"),
    [
        ("a_pgnn", "official", {"norm": "row", "mask_users": 0.01}),
        ("gce_gnn", "official", {"fill": "mask"}),
        ("hrnn", "official", {"feed_last": True}),
        ("hrnn", "official_all", {"feed_last": True}),
    ],
)
def test_an_official_preset_says_itself_what_is_not_the_authors(
    name: str, preset: str, ours: dict[str, object]
) -> None:
    """Each is on the paper map too; a default may change without the preset."""
    said = models.load(name).presets[preset]["model"]
    assert ours.items() <= said.items()
    for key in ours:
        assert f"`{key}" in PAPER_MAP
