"""The models: the folder is the list. Each module or package here offers one model, under the name ``Model``."""

from __future__ import annotations

import importlib
import pkgutil

from segue.contract.model import SessionModel
from segue.errors import ConfigError
from segue.settings import ModelSettings, Nested, Settings, compose
from segue.settings.base import nearest


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
    inner = build(with_preset({**settings.model_dump(include={"graph"}), "model": inside}, "model.inner"))
    return model(config, settings.graph, inner)  # type: ignore[call-arg]


def with_preset(overrides: Nested, where: str = "model") -> Settings:
    """Settings of a run: defaults, over them the chosen preset of the chosen model, over that the user's overrides.

    A model around another, its option `inner`, is trained as that one's preset says. `where` the model's options stand
    is for messages.
    Raises ConfigError for an unknown model, preset, key or option, before any work is done.
    """
    # Of the other sections some keys are only valid beside the preset's.
    asked = compose({"model": overrides.get("model", {})}).model
    model, chosen = load(asked.name), _preset_of(asked)
    layers = [model.presets[chosen], overrides, {"model": {"preset": chosen}}] if chosen else [overrides]
    settings = compose(*layers)
    model.Config.parse(settings.model.options, where)
    inside = settings.model.options.get("inner")
    if inside is None:
        return settings
    inner = with_preset({"model": inside}, f"{where}.inner").model
    own = load(inner.name).presets.get(inner.preset or "", {})
    return compose({section: values for section, values in own.items() if section != "model"}, *layers)


def label(settings: Settings) -> str:
    """``hg_gnn/segue``; around another model than the preset's, that one: ``reminder/lessr/official``."""
    name, presets = settings.model.name, load(settings.model.name).presets
    shown = settings.model.preset or next(iter(presets), "")
    inside = settings.model.options.get("inner")
    if inside is not None:
        usual = presets[shown]["model"]["inner"]
        found, expected = (label(compose({"model": inner})) for inner in (inside, usual))
        shown = shown if found == expected else found
    return f"{name}/{shown}" if shown else name


def _preset_of(asked: ModelSettings) -> str | None:
    """The preset that is asked for, else the first; None where the model has none."""
    presets = load(asked.name).presets
    chosen = asked.preset or next(iter(presets), None)
    if chosen is not None and chosen not in presets:
        raise ConfigError(f"unknown preset '{chosen}' of model '{asked.name}': {nearest(chosen, list(presets))}")
    return chosen
