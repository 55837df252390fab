"""The models: the folder is the list. Each module or package here offers one model, under the name ``Model``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from segue.contract.model import SessionModel
from segue.errors import ConfigError
from segue.settings import ModelSettings, Nested, Settings, compose
from segue.settings.base import nearest

_RENAMED_PRESETS = {"hggnn": "paper_conditions"}
"""Former name of a preset → its present name; models stored under the former name still load."""
_ADDED_TO_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "narm": {"gru_reset": "after", "hard_sigmoid": False},
    "hrnn": {"gru_reset": "after", "initial": "uniform", "one_hot": False, "carry_dropped": False},
    "a_pgnn": {"gru_reset": "after", "initial": "uniform", "first_sessions": True},
}
"""Options that presets have got since models were stored with them → what a stored model without the option means."""


def names() -> list[str]:
    """Names of all models, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str) -> type[SessionModel]:
    """The class of a model. Raises ConfigError for an unknown name."""
    if name not in names():
        raise ConfigError(f"unknown model '{name}': {nearest(name, names())}")
    model: type[SessionModel] = importlib.import_module(f"{__name__}.{name}").Model
    return model


def build(settings: Settings) -> SessionModel:
    """An empty model, to be fitted or restored. Raises ConfigError for an unknown option."""
    model = load(settings.model.name)
    inner = _inner(settings.model)
    if inner is None:
        return model.from_settings(settings)
    around = settings.model_dump(include={"graph", "preparation"})
    return model.from_settings(settings, build(with_preset({**around, "model": inner}, f"model.{model.wraps}")))


def with_preset(overrides: Nested, where: str = "model") -> Settings:
    """Settings of a run: defaults, over them the chosen preset of the chosen model, over that the user's overrides.

    A model that wraps another is trained with the training settings of the inner model's preset, and its own options
    hold the inner model's completely.

    Args:
        overrides: section → key → value.
        where: name of the section that holds the model's options, for messages.

    Raises ConfigError for an unknown model, preset, key or option, before any work is done.
    """
    # Some keys of other sections are only valid together with those of the preset, so the model is looked up first.
    asked = compose({"model": overrides.get("model", {})}).model
    model, chosen = load(asked.name), _preset_of(asked)
    layers = [model.presets[chosen], overrides, {"model": {"preset": chosen}}] if chosen else [overrides]
    settings = compose(*layers)
    model.Config.parse(settings.model.options, where)
    wrapped = _inner(settings.model)
    if wrapped is None or model.wraps is None:
        return settings
    inner = with_preset({"model": wrapped}, f"{where}.{model.wraps}").model
    below = load(inner.name).presets.get(inner.preset or "", {})
    complete = {"model": {model.wraps: {"name": inner.name, "preset": inner.preset, **inner.options}}}
    return compose({section: values for section, values in below.items() if section != "model"}, *layers, complete)


def stored(values: Mapping[str, Any]) -> Settings:
    """Settings as the ``config.json`` of a trained model holds them, with every preset under its present name.

    What presets have got since does not reach a model that was stored before. Raises ConfigError for a setting, model
    or preset that there is not.
    """
    settings = Settings.parse(values)
    model = ModelSettings.parse(_brought_up(settings.model.model_dump()), "model")
    _check_stored(model)
    return settings.model_copy(update={"model": model})


def label(settings: Settings) -> str:
    """Model and preset as one name, ``hg_gnn/segue``.

    Where a model wraps another one than its preset says, the name is that of the inner model instead of the preset:
    ``reminder/lessr/official``.
    """
    model = load(settings.model.name)
    shown = settings.model.preset or next(iter(model.presets), "")
    inner = _inner(settings.model)
    if inner is not None and model.wraps is not None:
        usual = model.presets[shown]["model"][model.wraps]
        found, expected = (label(compose({"model": options})) for options in (inner, usual))
        shown = shown if found == expected else found
    return f"{settings.model.name}/{shown}" if shown else settings.model.name


def _inner(settings: ModelSettings) -> Any:
    """Settings of the inner model, where the model wraps one."""
    option = load(settings.name).wraps
    return settings.options.get(option) if option is not None else None


def _check_stored(settings: ModelSettings) -> None:
    """Raise ConfigError for an unknown preset or option of a model, or of the model inside of it."""
    model = load(settings.name)
    if settings.preset is not None or model.presets:
        _preset_of(settings)
    options = model.Config.parse(settings.options, "model")
    if model.wraps is not None:
        _check_stored(getattr(options, model.wraps))


def _brought_up(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a stored model, and of its inner model if any, as they would be stored today."""
    if not isinstance(options.get("name"), str):
        return dict(options)  # what is missing or of another kind is refused where the options are read
    within = load(options["name"]).wraps
    inner = {k: _brought_up(value) for k, value in options.items() if k == within and isinstance(value, dict)}
    preset = {"preset": _RENAMED_PRESETS[options["preset"]]} if options.get("preset") in _RENAMED_PRESETS else {}
    return {**_ADDED_TO_PRESETS.get(options["name"], {}), **options, **inner, **preset}


def _preset_of(asked: ModelSettings) -> str | None:
    """Name of the preset to use: the one in the settings, else the model's first; None where the model has none."""
    presets = load(asked.name).presets
    chosen = asked.preset or next(iter(presets), None)
    if chosen is None or chosen in presets:
        return chosen
    present = _RENAMED_PRESETS.get(chosen)
    if present in presets:
        raise ConfigError(f"preset '{chosen}' of model '{asked.name}' is now called '{present}'")
    raise ConfigError(f"unknown preset '{chosen}' of model '{asked.name}': {nearest(chosen, list(presets))}")
