"""The settings that scripts rely on, key by key, and which of them wins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from segue import models
from segue.data.batches import Window
from segue.errors import ConfigError
from segue.settings import Nested, Settings, compose
from segue.settings.base import Config
from segue.settings.overrides import read_overrides

RELATIONS = ("adjacent_in", "adjacent_out", "similar", "interact", "interacted_by")


# The promised keys and their defaults.
DEFAULTS: Nested = {
    "columns": {
        "user_id": "user_id", "item_id": "item_id", "timestamp": "timestamp", "session_id": None, "event_type": None,
        "null_words": ("\\N",),
        "timestamp_unit": None, "timestamp_format": None, "order": None,
    },
    "csv": {"quoting": "auto", "delimiter": None, "header": True},
    "sessions": {
        "gap": "8h", "min_length": 3, "max_length": 20, "keep": "last", "drop_repeats": True, "missing": "refuse",
    },
    "filters": {
        "min_item_support": 5, "min_user_sessions": 5, "top_items": None, "event_types": None, "rare_users": "drop",
        "scope": "all",
    },
    "split": {"protocol": "user_80_20", "test": 0.2, "validation": 0.1},
    "graph": {"sample_size": 12, "top_k_similar": 20, "relations": RELATIONS, "attributes": (),
              "max_users_per_item": None},
    "model": {"name": "hg_gnn", "preset": None},
    "training": {
        "optimizer": "adam", "momentum": 0.0,
        "batch_events": 512, "learning_rate": 1e-3, "weight_decay": 1e-5, "schedule": "constant", "decay": 0.1,
        "decay_every": 3, "epoch_steps": 0, "pass_steps": 0, "pass_events": 0, "validation_events": 0,
        "max_epochs": 30, "max_minutes": None, "patience": 5, "checkpoint_minutes": 10.0, "seed": 0,
        "threads": 0, "device": "auto", "shuffle": "sessions", "split_items": False,
    },
    "evaluation": {"history": "frozen", "mask_session": "auto"},
    "preparation": {"memory_limit": None, "drop_invalid": False},
}  # fmt: skip


@pytest.mark.parametrize(
    ("section", "key", "default"),
    [(section, key, default) for section, keys in DEFAULTS.items() for key, default in keys.items()],
)
def test_each_key_has_its_promised_default(section: str, key: str, default: Any) -> None:
    assert getattr(getattr(Settings(), section), key) == default


def test_there_are_no_other_keys() -> None:
    assert {s: set(v) for s, v in Settings().model_dump().items()} == {s: set(v) for s, v in DEFAULTS.items()}


# What the design promises of the presets, as options of the model and as settings of its training.
@pytest.mark.parametrize(
    ("preset", "model", "training"),
    [
        ("segue", {"dim": 128, "layers": 1, "dropout": 0.5},
         {"schedule": "step", "learning_rate": 3e-3, "decay": 0.3, "decay_every": 1, "patience": 2, "max_epochs": 5}),
        ("paper", {"dim": 128, "layers": 1, "dropout": 0.5},
         {"schedule": "step", "learning_rate": 1e-3, "decay": 0.1, "decay_every": 3}),
        ("authors-code", {"dim": 128, "layers": 1, "dropout": 0.5, "window": Window(length=10, history=1000)},
         {"schedule": "step", "learning_rate": 1e-3, "decay": 0.1, "decay_every": 3, "batch_events": 512}),
    ],
)  # fmt: skip
def test_the_presets_are_these(preset: str, model: dict[str, Any], training: dict[str, Any]) -> None:
    settings = models.with_preset({"model": {"preset": preset}})
    config = models.build(settings).config
    assert {key: getattr(config, key) for key in model} == model
    assert {key: getattr(settings.training, key) for key in training} == training


def test_segue_is_the_default_preset() -> None:
    default = models.with_preset({})
    assert default.model.preset == "segue"
    assert default == models.with_preset({"model": {"name": "hg_gnn", "preset": "segue"}})


def test_later_layers_win(tmp_path: Path) -> None:
    """Defaults, then the preset, then the file, then --set: each key is decided by the last that names it."""
    file = tmp_path / "run.toml"
    file.write_text('[model]\npreset = "paper"\n[training]\ndecay_every = 7\nseed = 1\npatience = 9\n')
    settings = models.with_preset(read_overrides(file, ["training.seed=2", "sessions.gap=30min"]))
    assert settings.training.max_epochs == 30  # default
    assert (settings.training.schedule, settings.training.decay) == ("step", 0.1)  # preset over default
    assert (settings.training.decay_every, settings.training.patience) == (7, 9)  # file over preset and default
    assert settings.training.seed == 2  # --set over file
    assert settings.sessions.gap == "30min"


def test_a_momentum_needs_adagrad() -> None:
    assert compose({"training": {"momentum": 0.5, "optimizer": "adagrad"}}).training.momentum == 0.5
    with pytest.raises(ConfigError, match=r"only optimizer 'adagrad' takes a momentum; set momentum = 0, found 0\.5"):
        compose({"training": {"momentum": 0.5}})


def test_unknown_keys_name_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'training\.bach_events': did you mean 'batch_events'\?"):
        compose({"training": {"bach_events": 3}})
    with pytest.raises(ConfigError, match=r"unknown section 'trainig': did you mean 'training'\?"):
        read_overrides(None, ["trainig.seed=1"])
    with pytest.raises(ConfigError, match=r"unknown setting 'split\.qqq': known keys: protocol, test, validation"):
        compose({"split": {"qqq": 1}})
    with pytest.raises(ConfigError, match=r"unknown setting 'model\.dropuot': did you mean 'dropout'\?"):
        models.with_preset({"model": {"dropuot": 0.1}})


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("sessions", "gap", "8 hours"), ("sessions", "gap", 8), ("sessions", "gap", "0h"), ("sessions", "keep", "all"),
        ("sessions", "min_length", 1), ("filters", "min_item_support", 0), ("filters", "event_types", "buy"),
        ("split", "test", 0), ("split", "test", 1), ("split", "protocol", "random"), ("graph", "sample_size", 0),
        ("graph", "relations", ["friends"]), ("training", "learning_rate", 0), ("training", "patience", "often"),
        ("training", "max_minutes", 0), ("training", "shuffle", "rows"), ("training", "seed", -1),
        ("evaluation", "history", "all"), ("evaluation", "mask_session", "sometimes"),
        ("training", "device", "meta"), ("training", "device", "cuda:"), ("training", "device", "cuda:0:1"),
        ("training", "threads", 100_000), ("split", "test", 1e-300), ("split", "validation", 1 - 1e-15),
        ("sessions", "gap", "0.1ms"), ("sessions", "gap", "9" * 400 + "d"), ("preparation", "memory_limit", "0.1B"),
        ("preparation", "memory_limit", "lots"), ("preparation", "drop_invalid", 3),
        ("training", "momentum", 1), ("training", "momentum", 0.5),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_named(section: str, key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        compose({section: {key: value}})
    assert str(caught.value).startswith(f"setting '{section}.{key}")
    assert "\n" not in str(caught.value)


def numbers(kind: type) -> Iterator[tuple[type[Config], str]]:
    """Every setting of this type, in the sections of a run and in the configuration of every model."""
    sections = [type(getattr(Settings(), name)) for name in Settings.model_fields]
    for owner in (*sections, *(models.load(name).Config for name in models.names()), Window):
        for key, field in owner.model_fields.items():
            if field.annotation is kind or kind in get_args(field.annotation):
                yield owner, key


@pytest.mark.parametrize(("owner", "key"), [*numbers(int)])
@pytest.mark.parametrize("value", [10**30, 2**63, 1e300, float("inf"), float("nan")])
def test_every_whole_number_has_a_bound(owner: type[Config], key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"^setting '{key}': .*, found ") as caught:
        owner.parse({key: value})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(("owner", "key"), [*numbers(float)])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1.0])
def test_every_number_is_finite_and_not_negative(owner: type[Config], key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"^setting '{key}': "):
        owner.parse({key: value})


@pytest.mark.parametrize("name", ["hg_gnn", "gru4rec"])
@pytest.mark.parametrize("option", [{"dim": 1e11}, {"layers": 1000}])
def test_a_network_of_absurd_size_is_refused(name: str, option: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"'model\.{next(iter(option))}': .*less than or equal to"):
        models.with_preset({"model": {"name": name, **option}})


def test_a_number_of_thousands_of_digits_is_a_mistake_of_one_short_line() -> None:
    with pytest.raises(ConfigError) as caught:
        compose(read_overrides(None, ["training.seed=" + "9" * 5000]))
    assert str(caught.value).startswith("setting 'training.seed': ")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(("value", "kept"), [("auto", "auto"), (True, True), (False, False), ("true", True)])
def test_mask_session_is_auto_or_a_choice(value: Any, kept: Any) -> None:
    assert compose({"evaluation": {"mask_session": value}}).evaluation.mask_session is kept
    with pytest.raises(
        ConfigError, match=r"^setting 'evaluation\.mask_session': expected auto, true or false, found 'm'"
    ):
        compose({"evaluation": {"mask_session": "m"}})


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:11"])
def test_devices(device: str) -> None:
    assert compose({"training": {"device": device}}).training.device == device


def test_settings_of_settings() -> None:
    """model.window.length is set alone: the other keys keep what this model has them at."""
    overrides = read_overrides(None, ["model.window.length=2", "model.dim=8"])
    assert overrides == {"model": {"window": {"length": 2}, "dim": 8}}
    settings = models.with_preset(overrides)
    assert models.build(settings).config.window == Window(length=2, history=1000)
    stored = Settings.parse(settings.model_dump(mode="json"))
    assert models.build(stored).config.window == Window(length=2, history=1000)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().training.seed = 3  # type: ignore[misc]


def test_what_is_stored_reads_back() -> None:
    settings = models.with_preset({"model": {"preset": "paper", "dim": 16}, "filters": {"event_types": ["buy"]}})
    stored = settings.model_dump(mode="json")
    assert Settings.parse(stored).model_dump(mode="json") == stored


def test_what_only_a_preset_allows_can_be_set_beside_it() -> None:
    official = {"name": "gru4rec", "preset": "official"}
    assert models.with_preset({"model": official, "training": {"momentum": 0.2}}).training.momentum == 0.2
    with pytest.raises(ConfigError, match="only optimizer 'adagrad' takes a momentum"):
        models.with_preset({"model": {"name": "gru4rec"}, "training": {"momentum": 0.2}})
