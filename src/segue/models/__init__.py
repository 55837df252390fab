"""The models: the folder is the list. Each module or package here offers one model, under the name ``Model``."""

from __future__ import annotations

import importlib
import pkgutil

from segue.config import nearest
from segue.errors import ConfigError
from segue.nn.protocol import SessionModel
from segue.settings import ModelSettings, Nested, Settings, compose


def names() -> list[str]:
    """All models, by name."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str) -> type[SessionModel]:
    """The class of a model. Raises ConfigError for an unknown name."""
    if name not in names():
        raise ConfigError(f"unknown model '{name}': {nearest(name, names())}")
    model: type[SessionModel] = importlib.import_module(f"{__name__}.{name}").Model
    return model


def build(settings: Settings) -> SessionModel:
    """An empty model, to be fitted or restored. Raises ConfigError for an option it does not have."""
    model = load(settings.model.name)
    config = model.Config.parse(settings.model.options, "model")
    inside = settings.model.options.get("inner")
    if inside is None:
        return model(config, settings.graph)
    inner = build(with_preset({**settings.model_dump(include={"graph"}), "model": inside}))
    return model(config, settings.graph, inner)  # type: ignore[call-arg]


def with_preset(overrides: Nested) -> Settings:
    """Settings of a run: defaults, over them the chosen preset of the chosen model, over that the user's overrides.

    A model around another, its option `inner`, is trained as that one's preset says.
    Raises ConfigError for an unknown model, preset, key or option, before any work is done.
    """
    asked = compose(overrides).model
    model, chosen = load(asked.name), _preset_of(asked)
    layers = [model.presets[chosen], overrides, {"model": {"preset": chosen}}] if chosen else [overrides]
    settings = compose(*layers)
    model.Config.parse(settings.model.options, "model")
    inside = settings.model.options.get("inner")
    if inside is None:
        return settings
    inner = with_preset({"model": inside}).model
    own = load(inner.name).presets.get(inner.preset or "", {})
    return compose({section: values for section, values in own.items() if section != "model"}, *layers)


def label(settings: Settings) -> str:
    """Name and preset of a model: ``hg_gnn/segue``."""
    preset = settings.model.preset or next(iter(load(settings.model.name).presets), "")
    return f"{settings.model.name}/{preset}" if preset else settings.model.name


def _preset_of(asked: ModelSettings) -> str | None:
    """The preset that is asked for, else the first; None where the model has none."""
    presets = load(asked.name).presets
    chosen = asked.preset or next(iter(presets), None)
    if chosen is not None and chosen not in presets:
        raise ConfigError(f"unknown preset '{chosen}' of model '{asked.name}': {nearest(chosen, list(presets))}")
    return chosen
