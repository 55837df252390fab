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
from segue.contract.encoder import SessionEncoder
from segue.settings import Settings, merged
from segue.settings.base import Config
from segue.settings.overrides import changed, nested_from
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
_PAPER_TRAINING = {"training.batch_events": 512, "training.optimizer": "adam", "training.momentum": 0.0}
"""Settings of all trials of the grid; a preset for another optimizer may carry a momentum, which Adam refuses."""


def searched(search: Search, settings: Settings, fixed: frozenset[str]) -> tuple[Space, Settings, frozenset[str]]:
    """What a search of these settings varies: the ranges, the settings that all trials share, and which are fixed.

    Fixed settings are not searched.
    The paper's grid keeps those of its three settings that the model has, less what the preset's own space leaves out.
    """
    model = models.load(settings.model.name)
    trained = issubclass(model, SessionEncoder)
    own = model.spaces.get(settings.model.preset or next(iter(model.presets), ""), model.space)
    if search == "paper-grid":
        fields = [_LEARNING_RATE, *(f"model.{field}" for field in model.Config.model_fields)] if trained else []
        usable = set(fields) - (set(model.space) - set(own))
        layers = {f"model.{model.depth}": Choice(tuple(range(1, model.deepest + 1)))} if model.depth else {}
        space: Space = {key: choice for key, choice in {**_PAPER_GRID, **layers}.items() if key in usable}
        shared = {key: value for key, value in _PAPER_TRAINING.items() if key not in fixed} if trained else {}
        settings, fixed = changed(settings, nested_from(shared)), fixed | shared.keys()
    else:
        space = {**(_COMMON if trained else {}), **own}
    return {key: values for key, values in space.items() if key not in fixed}, settings, fixed


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The ranges of a space as Optuna takes them."""
    return {key: _distribution(values) for key, values in space.items()}


def with_point(settings: Settings, point: Mapping[str, Any]) -> Settings:
    """The settings with the values of a point; what the point leaves out stays as it is. Raises ConfigError."""
    return models.with_preset(merged(settings.model_dump(mode="json"), nested_from(point)))


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
