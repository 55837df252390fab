"""The folder is the list of models, and whose word counts: defaults, preset, user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import runs
import small_logs
import torch

from segue import models
from segue.artifact.model_folder import load_model
from segue.artifact.seal import seal
from segue.contract.model import SessionModel
from segue.errors import ConfigError
from segue.training.epochs import training_facts

PAPER_MAP = (Path(__file__).parents[2] / "docs" / "paper-map.md").read_text(encoding="utf-8")


def test_the_folder_is_the_list() -> None:
    assert {"gru4rec", "item_knn", "markov", "popularity"} <= set(models.names())
    for name in models.names():
        assert issubclass(models.load(name), SessionModel)
        assert models.load(name).presets, f"{name} has no preset"


def test_every_model_has_a_title_of_its_own() -> None:
    titles = [models.load(name).title for name in models.names()]
    assert len(set(titles)) == len(titles)
    assert models.load("sr_gnn").title == "SR-GNN"


def test_what_a_class_says_about_its_options_is_there() -> None:
    for name in models.names():
        model = models.load(name)
        assert {model.depth, model.wraps} - {None} <= set(model.Config.model_fields), name


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="unknown model 'markow': did you mean 'markov'"):
        models.load("markow")


def test_an_unknown_preset_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="unknown preset 'globl' of model 'popularity': did you mean 'global'"):
        models.with_preset({"model": {"name": "popularity", "preset": "globl"}})


@pytest.mark.parametrize(
    "settings",
    [{"name": "sr_gnn", "preset": "hggnn"}, {"name": "reminder", "inner": {"name": "sr_gnn", "preset": "hggnn"}}],
)
def test_the_former_name_of_a_preset_is_refused_with_the_present_one(settings: dict[str, object]) -> None:
    with pytest.raises(
        ConfigError, match="preset 'hggnn' of model 'sr_gnn' is now called 'paper_conditions'"
    ) as caught:
        models.with_preset({"model": settings})
    assert "\n" not in str(caught.value)


def test_a_former_name_is_unknown_to_a_model_that_never_had_it() -> None:
    with pytest.raises(ConfigError, match="unknown preset 'hggnn' of model 'markov'"):
        models.with_preset({"model": {"name": "markov", "preset": "hggnn"}})


@pytest.mark.parametrize(
    ("settings", "label"),
    [
        ({"name": "gru4rec", "preset": "paper_conditions", "dim": 8}, "gru4rec/paper_conditions"),
        (
            {"name": "reminder", "inner": {"name": "gru4rec", "preset": "paper_conditions", "dim": 8}},
            "reminder/gru4rec/paper_conditions",
        ),
    ],
)
def test_a_model_stored_under_the_former_name_of_its_preset_loads(
    tmp_path: Path, settings: dict[str, object], label: str
) -> None:
    """Such a folder holds the same files, but for the name in config.json and the hash of it in the manifest."""
    written = {"model": settings, "training": {"max_epochs": 1, "epoch_steps": 0, "pass_steps": 0}}
    folder = runs.train(small_logs.corpus(), tmp_path / "m", written)
    wanted = load_model(folder)
    config = folder / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"paper_conditions"', '"hggnn"'), encoding="utf-8")
    assert "hggnn" in config.read_text(encoding="utf-8")
    seal(folder)
    found = load_model(folder)
    assert found.settings == wanted.settings
    assert models.label(found.settings) == label
    assert training_facts(folder).label == label
    read, expected = found.model.arrays(), wanted.model.arrays()
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[key], expected[key]) for key in expected)


@pytest.mark.parametrize("name", ["narm", "hrnn", "a_pgnn"])
@pytest.mark.parametrize("around", [False, True])
def test_what_presets_have_got_since_does_not_reach_a_stored_model(name: str, around: bool) -> None:
    """A model stored without the new options was made without them, and so was one inside reminders."""
    own = {"name": name, "preset": "official"}
    window = {"length": models.load(name).Config().window.length}
    asked = {"name": "reminder", "inner": own, "window": window} if around else own
    values = models.with_preset({"model": asked}).model_dump(mode="json")
    options = values["model"]["inner"] if around else values["model"]
    new = [key for key in models._ADDED_TO_PRESETS[name] if options.pop(key, None) is not None]
    assert new, "the preset holds them"
    built = models.build(models.stored(values))
    config: Any = (built.inner if around else built).config  # type: ignore[attr-defined]
    defaults = models.load(name).Config()
    assert {key: getattr(config, key) for key in new} == {key: getattr(defaults, key) for key in new}


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


@pytest.mark.parametrize(
    ("name", "presets", "theirs"),
    [
        ("a_pgnn", ["official"], {"gru_reset": "before", "initial": "authors", "first_sessions": False}),
        (
            "hrnn",
            ["official", "official_all"],
            {"gru_reset": "before", "initial": "authors", "one_hot": True, "carry_dropped": True},
        ),
        ("item_knn", ["official"], {"official_count": True}),
        ("narm", ["official"], {"gru_reset": "before", "hard_sigmoid": True}),
        (
            "session_knn",
            ["official_v_sknn", "official_stan", "official_vstan", "vsknn_ebr", "vstan_ebr"],
            {"anchor": "neighbour", "idf_counts": "events"},
        ),
        ("session_knn", ["vsknn_ebr", "vstan_ebr"], {"remind_by": "age"}),
    ],
)
def test_an_official_preset_sets_what_the_authors_compute_and_no_other_does(
    name: str, presets: list[str], theirs: dict[str, object]
) -> None:
    for preset, sections in models.load(name).presets.items():
        said = sections.get("model", {})
        if preset in presets:
            assert theirs.items() <= said.items(), preset
        elif "official" not in preset and preset not in ("vsknn_ebr", "vstan_ebr"):
            assert not theirs.keys() & said.keys(), preset
    for key in theirs:
        assert f"`{key}" in PAPER_MAP


def test_whoever_is_trained_as_in_the_paper_counts_its_schedule_in_steps() -> None:
    """Baselines and HG-GNN alike: nobody is starved on a short log."""
    presets = [("hg_gnn", preset) for preset in ("paper", "authors-code", "no-graph", "no-users")]
    presets += [
        (name, "paper_conditions") for name in models.names() if "paper_conditions" in models.load(name).presets
    ]
    assert len(presets) == 4 + 7
    for name, preset in presets:
        training = models.with_preset({"model": {"name": name, "preset": preset}}).training
        assert (training.schedule, training.decay, training.decay_every) == ("step", 0.1, 3)
        assert (training.batch_events, training.epoch_steps, training.pass_steps) == (512, 4_100, 600)
