"""The ranges of a search: a model's declared space, or the grid of the paper's section 5.1.4."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Literal, cast

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from segue import models
from segue.contract.model import SessionEncoder
from segue.settings import Nested, Settings, merged
from segue.settings.base import Config
from segue.settings.search_space import Between, Choice, Space

Search = Literal["tpe", "paper-grid"]
Point = dict[str, Any]
"""A value for each setting that is searched, such as ``model.dim``."""

_LEARNING_RATE = "training.learning_rate"
_COMMON: Space = {_LEARNING_RATE: Between(1e-4, 1e-2, log=True)}
"""Ranges for every trained model, unless its own space says something else."""

_PAPER_GRID: dict[str, Choice] = {
    "model.dim": Choice((32, 64, 96, 128, 256)),
    _LEARNING_RATE: Choice((1e-4, 1e-3, 1e-2, 1e-1)),
}
"""Ranges of section 5.1.4; the number of layers joins them under the name that each model has for it."""
_PAPER_TRAINING: Nested = {"training": {"batch_events": 512, "optimizer": "adam", "momentum": 0.0}}
"""Training settings of all trials of the grid; a preset may set a momentum, which Adam refuses."""


def searched(search: Search, name: str, preset: str | None, overrides: Nested) -> tuple[Space, Nested]:
    """The ranges for a preset of a model (None: its first), and the settings that all its trials share.

    Settings that the user has set are not searched. The paper's grid keeps those of its three settings that the model
    has, without those that the preset's own space leaves out.
    """
    model = models.load(name)
    trained = issubclass(model, SessionEncoder)
    own = model.spaces.get(preset or next(iter(model.presets), ""), model.space)
    if search == "paper-grid":
        fields = [_LEARNING_RATE, *(f"model.{field}" for field in model.Config.model_fields)] if trained else []
        usable = set(fields) - (set(model.space) - set(own))
        layers = {f"model.{model.depth}": Choice(tuple(range(1, model.deepest + 1)))} if model.depth else {}
        space: Space = {key: choice for key, choice in {**_PAPER_GRID, **layers}.items() if key in usable}
        shared = merged(_PAPER_TRAINING if trained else {}, overrides)
    else:
        space, shared = {**(_COMMON if trained else {}), **own}, merged(overrides)
    return {key: value for key, value in space.items() if not _is_set(overrides, key)}, shared


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Ranges as distributions of Optuna."""
    return {key: _distribution(values) for key, values in space.items()}


def with_point(overrides: Nested, point: Mapping[str, Any]) -> Nested:
    """Settings overridden by the values of a point.

    In a table inside a section, such as ``model.remind``, the keys that the point leaves out stay as they were.
    """
    nested = merged(overrides)
    opened: Point = {}
    for key, value in point.items():
        section, *table, name = key.split(".")
        place = nested.setdefault(section, {})
        if table:
            (inside,) = table
            if inside not in opened:
                whole = getattr(_section(models.with_preset(overrides), section), inside)
                opened[inside] = place[inside] = whole.model_dump(mode="json")
            place = opened[inside]
        place[name] = value
    return nested


def preset_point(settings: Settings, space: Space) -> Point:
    """The point of the space at which a run starts; settings that lie outside their range are left out."""
    point = {}
    for key, values in space.items():
        section, _, path = key.partition(".")
        value = attrgetter(path)(_section(settings, section))
        if _holds(values, value):
            point[key] = value
    return point


def all_points(space: Space, at_most: int | None, seed: int) -> list[Point] | None:
    """Every point of a space with at most `at_most` points, shuffled by seed; None where there are more."""
    choices = [_choices(values) for values in space.values()]
    size = math.prod(len(values) if values is not None else math.inf for values in choices)
    if math.isinf(size) or (at_most is not None and size > at_most):
        return None
    points = [
        dict(zip(space, values, strict=True)) for values in itertools.product(*(found or () for found in choices))
    ]
    return [points[place] for place in np.random.default_rng(seed).permutation(len(points))]


def _distribution(values: Choice | Between) -> BaseDistribution:
    if isinstance(values, Choice):
        return CategoricalDistribution(values.values)
    if _whole(values):
        return IntDistribution(int(values.low), int(values.high), log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)


def _choices(values: Choice | Between) -> tuple[Any, ...] | range | None:
    if isinstance(values, Choice):
        return values.values
    return range(int(values.low), int(values.high) + 1) if _whole(values) else None


def _whole(values: Between) -> bool:
    return isinstance(values.low, int) and isinstance(values.high, int)


def _holds(values: Choice | Between, value: Any) -> bool:
    if isinstance(values, Choice):
        return any(value == choice and type(value) is type(choice) for choice in values.values)
    return isinstance(value, (int, float)) and values.low <= value <= values.high and not isinstance(value, bool)


def _section(settings: Settings, section: str) -> Config:
    """A section with everything in it, the model's own options included."""
    if section == "model":
        return models.load(settings.model.name).Config.parse(settings.model.options, "model")
    return cast(Config, getattr(settings, section))


def _is_set(overrides: Nested, key: str) -> bool:
    found: Any = overrides
    for name in key.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return False
        found = found[name]
    return True
