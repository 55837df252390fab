"""The models: the folder is the list. Each module or package here offers one model, under the name ``Model``."""

from __future__ import annotations

import importlib
import pkgutil

from segue.config import nearest
from segue.errors import ConfigError
from segue.nn.protocol import SessionModel
from segue.settings import Nested, Settings, compose


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
    return model(model.Config.parse(settings.model.options, "model"), settings.graph)


def with_preset(overrides: Nested) -> Settings:
    """Settings of a run: defaults, over them the chosen preset of the chosen model, over that the user's overrides.

    Raises ConfigError for an unknown model, preset, key or option, before any work is done.
    """
    asked = compose(overrides).model
    model = load(asked.name)
    preset = asked.preset or next(iter(model.presets), None)
    if preset is None:
        return _checked(compose(overrides), model)
    if preset not in model.presets:
        raise ConfigError(f"unknown preset '{preset}' of model '{asked.name}': {nearest(preset, list(model.presets))}")
    return _checked(compose(model.presets[preset], overrides, {"model": {"preset": preset}}), model)


def _checked(settings: Settings, model: type[SessionModel]) -> Settings:
    model.Config.parse(settings.model.options, "model")
    return settings
